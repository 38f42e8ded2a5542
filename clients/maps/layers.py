"""What a picture of a map shows: scores, the imagery beneath them, and shapes over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from pyproj import CRS, Transformer
from rasterio.transform import Affine
from rasterio.warp import transform_bounds

from sat2sound.clients.maps.area import LONGITUDE_LATITUDE, Area, area_of_box
from sat2sound.clients.maps.errors import MapError
from sat2sound.clients.maps.grid import MAX_SCALE_ERROR, scale_error
from sat2sound.clients.maps.imagery import Imagery, View
from sat2sound.clients.maps.overlays import Overlay, read_overlay
from sat2sound.errors import InvalidInput

MAX_PIXELS = 1200  # longest side of what is read for a picture
PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True)
class Layers:
    """What a picture shows. scores: float32 [n, H, W], NaN = nothing; names: of the n bands; extent: in the CRS.

    ranges: of each band, the percentiles that become the ends of its colours. extent: left, right, bottom, top.
    imagery: a view of the extent, of any size, or None. tags: of the raster.
    """

    scores: npt.NDArray[np.float32]
    names: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    extent: tuple[float, float, float, float]
    crs: str
    imagery: View | None
    tags: dict[str, str]
    percentiles: tuple[float, float] = PERCENTILES
    overlays: tuple[Overlay, ...] = ()

    @property
    def values(self) -> str:
        """What the numbers are."""
        return self.tags.get("SAT2SOUND_VALUES", "score")

    @property
    def credit(self) -> str:
        """Where it comes from, in one line."""
        said = {"model": self.tags.get("SAT2SOUND_MODEL"), "imagery": self.tags.get("SAT2SOUND_IMAGERY")}
        return " · ".join(f"{name} {value.rpartition('/')[2]}" for name, value in said.items() if value)

    @property
    def metres(self) -> bool:
        """Whether a scale bar would be true."""
        left, right, bottom, top = self.extent
        to_degrees = Transformer.from_crs(self.crs, LONGITUDE_LATITUDE, always_xy=True)
        place = to_degrees.transform((left + right) / 2, (bottom + top) / 2)
        return bool(CRS.from_user_input(self.crs).is_projected) and scale_error(self.crs, place) <= MAX_SCALE_ERROR

    @property
    def masked(self) -> bool:
        """Whether there are cells without a score."""
        return not np.isfinite(self.scores).all()


def read_layers(
    path: Path,
    imagery: Imagery | None,
    percentiles: tuple[float, float] = PERCENTILES,
    overlays: Sequence[Path] = (),
) -> Layers:
    """Read a score raster, decimated, the imagery of its extent, and shapes to draw over it.

    Raises InvalidInput; MapError where nothing has a score; OSError for the imagery.
    """
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise InvalidInput(f"the percentiles are {low:g},{high:g}", expected="0 to 100, ascending", fix="give 2,98")
    with _scores(path) as raster:
        factor = max(1.0, max(raster.height, raster.width) / MAX_PIXELS)
        size = (max(1, round(raster.height / factor)), max(1, round(raster.width / factor)))
        scores = raster.read(out_shape=(raster.count, *size)).astype(np.float32)
        names = tuple(name or f"band {band}" for band, name in enumerate(raster.descriptions, 1))
        bounds, crs, tags = raster.bounds, raster.crs.to_wkt(), dict(raster.tags())
    ranges = []
    for band in scores:
        seen = band[np.isfinite(band)]
        if seen.size == 0:
            raise MapError(f"{path} has no scored cell", fix="run `sat2sound map embed` on the area first")
        start, end = np.percentile(seen, [low, high])
        ranges.append((float(start), float(max(end, start + 1e-6))))
    beneath = None
    if imagery is not None:
        width, height = bounds.right - bounds.left, bounds.top - bounds.bottom
        pixel = max(width, height) / MAX_PIXELS
        transform = Affine(pixel, 0, bounds.left, 0, -pixel, bounds.top)
        beneath = imagery.view(crs, transform, max(1, round(height / pixel)), max(1, round(width / pixel)))
    extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
    over = tuple(read_overlay(shapes, crs, names) for shapes in overlays)
    return Layers(scores, names, tuple(ranges), extent, crs, beneath, tags, percentiles, over)


def raster_area(path: Path) -> Area:
    """Where a score raster lies. Raises InvalidInput."""
    with _scores(path) as raster:
        return area_of_box(transform_bounds(raster.crs, LONGITUDE_LATITUDE, *raster.bounds))


@contextmanager
def _scores(path: Path) -> Iterator[Any]:
    try:
        with rasterio.open(path, driver="GTiff") as raster:
            if raster.crs is None:
                raise InvalidInput(
                    f"{path} has no coordinate reference system",
                    expected="a GeoTIFF of `sat2sound map query`",
                    fix="check the path",
                )
            yield raster
    except rasterio.errors.RasterioError as error:
        raise InvalidInput(
            f"cannot read {path}: {error}", expected="a GeoTIFF of `sat2sound map query`", fix="check the path"
        ) from None
