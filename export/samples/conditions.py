"""What may be known about an image, as the encoder takes it."""

from __future__ import annotations

import numpy as np

from sat2sound.contract import CONDITIONS
from sat2sound.export.references import Arrays
from sat2sound.preprocessing.metadata import AUDIO_SOURCES, CAPTION_SOURCES

# The lowest and highest value that preparation lets through, and the share of items where it is missing.
_RANGES = {
    "GSD": (0.2, 10.0, 0.0),
    "LATITUDE": (-90.0, 90.0, 0.3),
    "LONGITUDE": (-180.0, 180.0, 0.3),
    "MONTH": (1.0, 12.0, 0.3),
    "HOUR": (0.0, 23.0, 0.3),
    "AUDIO_SOURCE": (0.0, len(AUDIO_SOURCES) - 1.0, 0.3),
    "CAPTION_SOURCE": (0.0, len(CAPTION_SOURCES) - 1.0, 0.3),
}
_WHOLE = ("MONTH", "HOUR", "AUDIO_SOURCE", "CAPTION_SOURCE")


def conditions(count: int, random: np.random.Generator) -> Arrays:
    """float32 [count, 1] per name of contract.CONDITIONS; NaN where something is not known."""
    values = {}
    for name in (tensor.name for tensor in CONDITIONS):
        low, high, missing = _RANGES[name]
        column = random.uniform(low, high, (count, 1))
        if name in _WHOLE:
            column = np.round(column)
        column[random.random((count, 1)) < missing] = np.nan
        values[name] = column.astype(np.float32)
    return values
