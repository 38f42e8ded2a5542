"""Which bands are red, green and blue, and what to warn of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sat2sound.errors import InvalidInput

COLOURS = ("red", "green", "blue")
# Red and green go up and down together in what the eye sees; near infrared shown as red breaks that. Measured on the
# overview of whole rasters, red with green: 0.92 to 0.96 for a drone, two NAIP scenes, Landsat and 300 aerial images;
# with near infrared as red 0.50 (Landsat), 0.26 and 0.05 (NAIP).
MIN_COLOUR_CORRELATION = 0.7
_MIN_PIXELS = 500


def choose_bands(asked: Sequence[int] | None, names: Sequence[str]) -> tuple[tuple[int, int, int], list[str]]:
    """1-based numbers of the red, green and blue band, and notes on what was guessed.

    asked: as a person said, None to guess. names: the file's colour interpretation of each band. Raises InvalidInput
    for bands that the raster does not have.
    """
    count = len(names)
    if asked is not None:
        if len(asked) != 3 or not all(1 <= band <= count for band in asked):
            raise InvalidInput(
                f"the bands are {','.join(map(str, asked))}",
                expected=f"three numbers from 1 to {count}: the red, the green and the blue band",
                fix="give e.g. --bands 1,2,3, or leave it out to guess",
            )
        red, green, blue = asked
        return (red, green, blue), []
    if all(colour in names for colour in COLOURS):
        red, green, blue = (names.index(colour) + 1 for colour in COLOURS)
        return (red, green, blue), []
    if count >= 3:
        return (1, 2, 3), [
            f"the raster does not say which of its {count} bands are red, green and blue: the first three are "
            "taken; give --bands if that is wrong"
        ]
    return (1, 1, 1), [
        f"the raster has {count} band{'s' if count > 1 else ''}: the first is shown as grey, which the model was not "
        "trained on; expect little"
    ]


def colour_notes(pixels: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> list[str]:
    """What the colours of an overview say: a warning if red and green hardly belong together. pixels: [H, W, 3]."""
    seen = pixels[valid].astype(np.float64)
    if len(seen) < _MIN_PIXELS:
        return []
    red, green, blue = seen.T
    if np.array_equal(red, green) or min(red.std(), green.std(), blue.std()) < 1:
        return []
    correlation = float(np.corrcoef(red, green)[0, 1])
    if correlation >= MIN_COLOUR_CORRELATION:
        return []
    return [
        f"the colours look false: red and green hardly vary together (correlation {correlation:.2f}, natural colours "
        f"at least {MIN_COLOUR_CORRELATION:g}), as when near infrared is shown as red or bands are in another order; "
        "give --bands red,green,blue, and do not trust the map otherwise"
    ]
