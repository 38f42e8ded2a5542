"""Georeferenced rasters -> the crop that a model expects: its footprint on the ground, north up, at its own scale."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sat2sound.errors import InvalidInput

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
COARSER_IS_FAR = 2.5  # from this ratio on a raster lacks detail that the model was trained on
PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True)
class GroundCrop:
    """A square cut out of a raster.

    data: PNG, RGB, north up. latitude, longitude: of its centre, degrees. metres_per_pixel: of the raster itself.
    notes: what a person should know before trusting the result.
    """

    data: bytes
    latitude: float
    longitude: float
    metres_per_pixel: float
    notes: tuple[str, ...]


def ground_crop(
    path: Path, *, side: int, metres_per_pixel: float, latitude: float | None = None, longitude: float | None = None
) -> GroundCrop | None:
    """The square of `side` pixels of `metres_per_pixel` around a place, else around the raster's centre.

    None if the file is not a georeferenced TIFF: it is then an ordinary image. A place outside the raster is noted and
    the centre taken. Raises InvalidInput where there is nothing to see.
    """
    if not _is_tiff(path):
        return None
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            # Only GTiff: a file must not be able to make GDAL open others, as some of its text formats do.
            with rasterio.open(path, driver="GTiff") as raster:
                return _crop(raster, side, metres_per_pixel, latitude, longitude) if raster.crs else None
    except RasterioError as error:
        raise InvalidInput(
            f"cannot read the raster {path.name}: {error}",
            expected="a readable GeoTIFF",
            fix="check it with gdalinfo, or export a PNG of the place",
        ) from None


def _is_tiff(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in TIFF_SIGNATURES
    except OSError:
        return False  # whoever reads the whole file next says why it cannot be read


def _crop(
    raster: Any, side: int, metres_per_pixel: float, latitude: float | None, longitude: float | None
) -> GroundCrop:
    from rasterio.enums import Resampling
    from rasterio.transform import Affine
    from rasterio.vrt import WarpedVRT

    notes = []
    north, east = _place(raster, raster.width / 2, raster.height / 2)
    if latitude is not None and longitude is not None:
        if _holds(raster, latitude, longitude):
            north, east = latitude, longitude
        else:
            notes.append(
                f"the given place {latitude:g}, {longitude:g} lies outside the raster; its centre is shown "
                f"({north:.5f}, {east:.5f})"
            )
    # A projection of its own for the place: true metres in both directions, whatever the raster's CRS distorts.
    local = f"+proj=aeqd +lat_0={north!r} +lon_0={east!r} +datum=WGS84 +units=m"
    half = side * metres_per_pixel / 2
    own = _native_metres_per_pixel(raster, local)
    has_mask = raster.nodata is not None or "alpha" in [kind.name for kind in raster.colorinterp]
    view = {"crs": local, "transform": Affine(metres_per_pixel, 0, -half, 0, -metres_per_pixel, half)}
    with WarpedVRT(
        raster, width=side, height=side, resampling=Resampling.cubic, add_alpha=not has_mask, **view
    ) as warped:
        bands = warped.read(_colour_bands(raster))
        valid = warped.dataset_mask() > 0
    share = float(valid.mean())
    if share == 0.0:
        raise InvalidInput(
            f"the raster has no data around {north:.5f}, {east:.5f}",
            expected=f"pixels in a square of {side * metres_per_pixel:.0f} metres",
            fix="give the latitude and longitude of a place that it shows",
        )
    if share < 0.995:
        notes.append(f"{100 * (1 - share):.0f} % of the square lies outside the raster's data and is black")
    if own > COARSER_IS_FAR * metres_per_pixel:
        notes.append(
            f"the raster has {own:.3g} m per pixel, {own / metres_per_pixel:.0f} times coarser than the "
            f"{metres_per_pixel:g} m that the model was trained on: expect little of the ranking"
        )
    if bands.dtype != np.uint8:
        bands = _stretch(bands, valid)
        notes.append(f"{raster.dtypes[0]} values were stretched to 8 bits for display and for the model")
    pixels = np.where(valid[..., None], np.moveaxis(bands, 0, -1), 0).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return GroundCrop(buffer.getvalue(), north, east, own, tuple(notes))


def _place(raster: Any, column: float, row: float) -> tuple[float, float]:
    """Latitude, longitude of a pixel position."""
    from rasterio.warp import transform

    x, y = _apply(raster.transform, column, row)
    (east,), (north,) = transform(raster.crs, "EPSG:4326", [x], [y])
    if not (math.isfinite(north) and math.isfinite(east)):
        raise InvalidInput("the raster's place on Earth is undefined", expected="a valid CRS", fix="check its CRS")
    return float(north), float(east)


def _holds(raster: Any, latitude: float, longitude: float) -> bool:
    from rasterio.warp import transform

    (x,), (y,) = transform("EPSG:4326", raster.crs, [longitude], [latitude])
    if not (math.isfinite(x) and math.isfinite(y)):
        return False
    column, row = _apply(~raster.transform, x, y)
    return 0 <= column <= float(raster.width) and 0 <= row <= float(raster.height)


def _apply(affine: Any, x: float, y: float) -> tuple[float, float]:
    """Written out: the affine package's operator for it differs between its versions."""
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _native_metres_per_pixel(raster: Any, local: str) -> float:
    """Side of a square with the area of the raster's centre pixel, in metres on the ground."""
    from rasterio.warp import transform

    column, row = raster.width / 2, raster.height / 2
    corners = [_apply(raster.transform, column + dx, row + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))]
    x, y = transform(raster.crs, local, [corner[0] for corner in corners], [corner[1] for corner in corners])
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    return math.sqrt(abs(area))


def _colour_bands(raster: Any) -> list[int]:
    """1-based band numbers of red, green, blue: as the file names them, else the first three, else grey three times."""
    names = [kind.name for kind in raster.colorinterp]
    if all(colour in names for colour in ("red", "green", "blue")):
        return [names.index(colour) + 1 for colour in ("red", "green", "blue")]
    return [1, 2, 3] if raster.count >= 3 else [1, 1, 1]


def _stretch(bands: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """[3, S, S] of any type to 8 bits, one linear stretch for all bands between percentiles of the valid pixels."""
    values = np.nan_to_num(bands.astype(np.float64))
    low, high = np.percentile(values[:, valid], PERCENTILES)
    return np.asarray(np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255).round(), dtype=np.uint8)
