"""Values of any type -> 8 bits, with one range for the whole area, so that neighbouring crops look alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sat2sound.clients.georeference import PERCENTILES

Range = tuple[float, float]


def find_range(bands: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> Range:
    """Low and high: percentiles over all bands of an overview. bands: [3, H, W]; valid: [H, W]."""
    values = bands[:, valid].astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(max(high, low + 1e-9))


def to_bytes(bands: npt.NDArray[Any], value_range: Range | None) -> npt.NDArray[np.uint8]:
    """[3, H, W] of any type -> uint8 [H, W, 3]. value_range: what becomes 0 and 255; None: the values are 8 bits."""
    if value_range is None:
        return _interleaved(bands)
    low, high = value_range
    scaled = (np.nan_to_num(bands.astype(np.float32)) - low) * (255.0 / (high - low))
    return _interleaved(np.clip(scaled, 0, 255).round())


def _interleaved(bands: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Band by band: four times as fast as moving the axis and copying."""
    pixels = np.empty((*bands.shape[1:], len(bands)), dtype=np.uint8)
    for at, band in enumerate(bands):
        pixels[..., at] = band
    return pixels
