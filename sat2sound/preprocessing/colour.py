"""Decoded images of any mode -> 8-bit RGB."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from sat2sound.errors import InvalidInput

_DEEP_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_FRACTIONS_UP_TO = 2.0  # reflectances are fractions of 1; clouds and glint exceed it a little


def to_rgb(
    image: ImageFile.ImageFile, open_again: Callable[[], ImageFile.ImageFile], no_data: float | None
) -> Image.Image:
    """RGB, 8 bits.

    image: opened, not yet decoded. open_again: opens the same file anew; called only for 16-bit colours. no_data: a
    value of deep images that stands for "nothing here"; becomes 0.

    - Alpha and near infrared are dropped, not blended: a fourth band is often near infrared that a tool has labelled
      alpha, and blending with it would blacken water; training drops it too. Pixels that a mosaic marks transparent
      keep the colour they are stored with.
    - 16- and 32-bit integers: no format says which value is white, and sensors with 10, 12 or 14 bits are stored in 16.
      All values are shifted right by the fewest bits that make the image's maximum fit into 8: linear, and the same for
      all bands. With the full 16 bits in use that is value / 256; values that fit into 8 bits are taken as they are.
    - Floating point: fractions (maximum up to 2) times 255, clipped; otherwise as integers.
    - NaN, infinite and negative values are 0.
    """
    deep_colours = _swapped_tiles(image)
    image.load()
    image.info.pop("transparency", None)  # or converting a palette would warn about it
    if image.mode in _DEEP_GREY:
        return Image.fromarray(_narrow(np.array(image), no_data)).convert("RGB")
    if deep_colours is not None and (no_data is not None or _maximum(image) < 128):
        low = open_again()
        low.tile = deep_colours
        low.load()
        return _join_bytes(image, low, no_data)
    if image.mode == "LAB":
        raise InvalidInput("the image's colours are L*a*b*", expected="RGB or grey", fix="convert it to RGB")
    return (image.convert("LA") if image.mode == "La" else image).convert("RGB")


def _swapped_tiles(image: ImageFile.ImageFile) -> list[Any] | None:
    """What makes the decoder keep the low bytes of 16-bit colours, not the high ones; None for others."""
    if image.mode not in ("RGB", "RGBA"):
        return None
    swapped = []
    for tile in image.tile:
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        raw = str(args[0])
        if raw[:-1] not in ("RGB;16", "RGBA;16", "RGBX;16"):
            return None
        other = raw[:-1] + _OTHER_BYTE[raw[-1]]
        swapped.append(tile._replace(args=(other, *args[1:]) if isinstance(tile.args, tuple) else other))
    return swapped or None


def _maximum(image: Image.Image) -> int:
    return max(int(band.getextrema()[1]) for band in image.split()[:3])  # type: ignore[arg-type]


def _join_bytes(high: Image.Image, low: Image.Image, no_data: float | None) -> Image.Image:
    """RGB from the high and the low bytes of 16-bit colours."""
    uppers, lowers = high.split()[:3], low.split()[:3]

    def values(band: int) -> npt.NDArray[np.uint16]:  # made twice rather than kept: three would fill the memory
        joined = np.asarray(uppers[band]).astype(np.uint16)
        joined <<= 8
        joined |= np.asarray(lowers[band])
        return _without(joined, no_data)

    shift = _shift(max(int(values(band).max()) for band in range(3)))
    return Image.merge("RGB", [Image.fromarray((values(band) >> shift).astype(np.uint8)) for band in range(3)])


def _narrow(values: npt.NDArray[Any], no_data: float | None) -> npt.NDArray[np.uint8]:
    """Deep grey values [h, w], overwritten, as 8 bits."""
    values = _without(values, no_data)
    if values.dtype.kind != "f":
        np.maximum(values, 0, out=values)
        return np.asarray(values >> _shift(int(values.max())), dtype=np.uint8)
    np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    np.maximum(values, 0.0, out=values)
    highest = float(values.max())
    if highest <= _FRACTIONS_UP_TO:
        return np.asarray(np.minimum(values, 1.0) * 255.0 + 0.5, dtype=np.uint8)
    return np.asarray(values * 0.5 ** _shift(int(highest)), dtype=np.uint8)


def _without(values: npt.NDArray[Any], no_data: float | None) -> npt.NDArray[Any]:
    if no_data is not None:
        values[values == no_data] = 0
    return values


def _shift(highest: int) -> int:
    """By how many bits values up to `highest` must be shifted to fit into 8."""
    return max(0, highest.bit_length() - 8)
