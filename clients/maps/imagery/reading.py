"""Bands of an open raster on a pixel grid of any CRS: warped, or as they lie where the grid is the raster's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags, Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

_SAME_PIXEL = 1e-3  # pixels: a grid that is off by less is the raster's own


def read_bands(
    raster: Any, bands: Sequence[int], crs: str, transform: Affine, height: int, width: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The values of the bands, [bands, height, width], and where the raster has data, bool [height, width].

    Cubic resampling; on the raster's own pixels it would change nothing and take most of the time of cutting a map, so
    these are read directly. Raises RasterioError if the raster cannot be read.
    """
    window = own_window(raster, crs, transform, height, width)
    if window is not None:
        return raster.read(bands, window=window), np.ones((height, width), dtype=bool)
    with _warped(raster, crs, transform, height, width) as warped:
        return warped.read(bands), _valid(raster, warped)


def own_window(raster: Any, crs: str, transform: Affine, height: int, width: int) -> Window | None:
    """The part of the raster that a pixel grid is, None if it is none, or if some of its pixels may have no data."""
    own = raster.transform
    gaps = _alpha(raster) is not None or any(MaskFlags.all_valid not in flags for flags in raster.mask_flag_enums)
    turned = any((own.b, own.d, transform.b, transform.d))
    if gaps or turned or raster.crs != crs:
        return None
    # Sides may differ by what moves no pixel of the window by more than the tolerance.
    sides = (transform.a - own.a) * width / own.a, (transform.e - own.e) * height / own.e
    column, row = (transform.c - own.c) / own.a, (transform.f - own.f) / own.e
    shifts = column - round(column), row - round(row)
    if any(abs(difference) > _SAME_PIXEL for difference in (*sides, *shifts)):
        return None
    window = Window(round(column), round(row), width, height)
    inside = (
        column > -0.5 and row > -0.5 and round(column) + width <= raster.width and round(row) + height <= raster.height
    )
    return window if inside else None


def _warped(raster: Any, crs: str, transform: Affine, height: int, width: int) -> Any:
    return WarpedVRT(
        raster,
        crs=crs,
        transform=transform,
        height=height,
        width=width,
        resampling=Resampling.cubic,
        add_alpha=raster.nodata is None and _alpha(raster) is None,
    )


def _alpha(raster: Any) -> int | None:
    """The number of the band that says what is there, from 1."""
    kinds = [kind.name for kind in raster.colorinterp]
    return kinds.index("alpha") + 1 if "alpha" in kinds else None


def _valid(raster: Any, warped: Any) -> npt.NDArray[np.bool_]:
    """Where a view of `_warped` shows the raster, and the raster has data: bool [H, W]."""
    if raster.nodata is not None:
        return np.asarray(warped.dataset_mask() > 0)
    # Not the mask that GDAL makes of it: for other types than 8 and 16 bits unsigned it says that all is valid.
    return np.asarray(warped.read(_alpha(raster) or warped.count) > 0)
