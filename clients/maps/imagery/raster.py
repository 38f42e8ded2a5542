"""A GeoTIFF or COG, local or over HTTP: any CRS, size, band order and data type."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.warp import transform_bounds
from shapely.geometry import box

from sat2sound.clients.maps.area import LONGITUDE_LATITUDE, Area
from sat2sound.clients.maps.grid import scale_error, utm
from sat2sound.clients.maps.imagery.addresses import NETWORK, without_secrets
from sat2sound.clients.maps.imagery.bands import choose_bands, colour_notes
from sat2sound.clients.maps.imagery.base import ImageryFacts, View
from sat2sound.clients.maps.imagery.reading import read_bands
from sat2sound.clients.maps.imagery.stretch import Range, find_range, to_bytes
from sat2sound.errors import InvalidInput

OVERVIEW_PIXELS = 1024  # longest side of the decimated raster that range and colours are judged on
_TRIES = 3


@dataclass(frozen=True)
class RasterImagery:
    """path: file or http(s) address. bands: red, green, blue from 1; value_range: what becomes 0 and 255.

    Neither is None once `prepared`, but for the range of 8-bit rasters.
    """

    path: str
    bands: tuple[int, ...] | None = None
    value_range: Range | None = None

    @property
    def remote(self) -> bool:
        """By its address."""
        return self.path.startswith(NETWORK)

    def prepared(self) -> tuple[RasterImagery, ImageryFacts]:
        """Itself with everything decided that can be, and the facts. Raises InvalidInput."""
        try:
            with self._opened() as raster:
                return self._prepared(raster)
        except RasterioError as error:
            raise InvalidInput(
                f"cannot read the raster {without_secrets(self.path)}: {str(error)[:200]}",
                expected="a readable GeoTIFF or COG",
                fix="check the path, and the file with gdalinfo",
            ) from None

    def _prepared(self, raster: Any) -> tuple[RasterImagery, ImageryFacts]:
        if raster.crs is None:
            raise InvalidInput(
                f"the raster {Path(self.path).name} has no coordinate reference system",
                expected="a georeferenced raster",
                fix="assign one first (gdal_translate -a_srs EPSG:... in.tif out.tif)",
            )
        if "complex" in raster.dtypes[0]:
            raise InvalidInput(
                f"the raster has {raster.dtypes[0]} values", expected="real numbers", fix="export an optical image"
            )
        if raster.colorinterp[0].name == "palette":
            raise InvalidInput(
                f"the values of the raster {Path(self.path).name} are numbers of colours in a table",
                expected="a raster whose bands are colours",
                fix="expand the table first (gdal_translate -expand rgb in.tif out.tif)",
            )
        bands, notes = choose_bands(self.bands, [kind.name for kind in raster.colorinterp])
        value_range = self.value_range
        stretched = value_range is None and raster.dtypes[0] != "uint8"
        try:
            overview = _overview(raster, bands)
        except RasterioError as error:
            if stretched:
                raise
            notes.append(f"parts of the raster cannot be read ({str(error)[:100]}): expect failed cells")
            return replace(self, bands=bands), _facts(raster, notes)
        if stretched:
            value_range = find_range(*overview)
            notes.append(
                f"{raster.dtypes[0]} values are stretched to 8 bits: {value_range[0]:g} to {value_range[1]:g} (2nd to "
                "98th percentile of the raster) become black to white; set --value-range to change it"
            )
        if overview[1].any():
            notes += colour_notes(to_bytes(overview[0], value_range), overview[1])
        facts = _facts(raster, notes)
        return replace(self, bands=bands, value_range=value_range), facts

    def facts(self) -> ImageryFacts:
        """Look at the raster. Raises InvalidInput."""
        return self.prepared()[1]

    def view(self, crs: str, transform: Affine, height: int, width: int) -> View:
        """A picture on a pixel grid of any CRS; cubic resampling. Raises OSError if it cannot be read."""
        bands = list(self.bands or (1, 2, 3))
        for attempt in range(1, _TRIES + 1):
            try:
                with self._opened() as raster:
                    values, valid = read_bands(raster, bands, crs, transform, height, width)
                break
            except RasterioError as error:
                if attempt == _TRIES:
                    raise OSError(f"{without_secrets(self.path)}: {error}") from error
        if np.issubdtype(values.dtype, np.floating):
            valid &= np.isfinite(values).all(axis=0)
        pixels = to_bytes(values, self.value_range)
        if not valid.all():
            pixels[~valid] = 0
        return View(pixels, valid)

    def to_json(self) -> dict[str, Any]:
        """What identifies it."""
        return {
            "kind": "raster",
            "path": without_secrets(self.path),
            "bands": list(self.bands or ()),
            "value_range": self.value_range,
        }

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Only GTiff: a file must not be able to make GDAL open others, as some of its text formats do."""
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), rasterio.open(self.path, driver="GTiff") as raster:
            yield raster


def _overview(raster: Any, bands: tuple[int, ...]) -> tuple[Any, Any]:
    factor = max(1.0, max(raster.width, raster.height) / OVERVIEW_PIXELS)
    size = (max(1, int(raster.height / factor)), max(1, int(raster.width / factor)))
    values = raster.read(list(bands), out_shape=(3, *size))
    return values, raster.dataset_mask(out_shape=size) > 0


def _facts(raster: Any, notes: list[str]) -> ImageryFacts:
    left, bottom, right, top = raster.bounds
    left, right = min(left, right), max(left, right)
    bottom, top = min(bottom, top), max(bottom, top)  # rows may go north
    west, south, east, north = transform_bounds(raster.crs, LONGITUDE_LATITUDE, left, bottom, right, top)
    if not all(math.isfinite(value) for value in (west, south, east, north)) or west > east:
        raise InvalidInput(
            f"the raster lies at {west:g},{south:g},{east:g},{north:g} degrees",
            expected="a place on Earth that does not cross the antimeridian",
            fix="check its CRS and transform; cut it in two at 180 degrees",
        )
    area = Area(box(west, south, east, north), is_box=True)
    crs = raster.crs.to_string()
    return ImageryFacts(crs, area, (left, bottom, right, top), _metres_per_pixel(raster, crs, area), tuple(notes))


def _metres_per_pixel(raster: Any, crs: str, area: Area) -> float:
    """Side of a square with the area of the centre pixel on the ground."""
    local = utm(area.centre) if scale_error(crs, area.centre) > 0 else crs
    to_local = Transformer.from_crs(crs, local, always_xy=True)
    column, row = raster.width / 2, raster.height / 2
    corners = [(column, row), (column + 1, row), (column, row + 1)]
    a, b, c, d, e, f = tuple(raster.transform)[:6]  # written out: Affine's operator differs between its versions
    x, y = to_local.transform(
        [a * across + b * down + c for across, down in corners], [d * across + e * down + f for across, down in corners]
    )
    return math.sqrt(abs((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])))
