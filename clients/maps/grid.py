"""The regular grid of locations: where each cell lies, and the blocks in which cells are worked on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Geod, Transformer
from rasterio.transform import Affine

from sat2sound.clients.maps.area import LONGITUDE_LATITUDE, Area
from sat2sound.errors import InvalidInput

MAX_CELLS = 10**9
MAX_SCALE_ERROR = 0.01  # a CRS whose metre is at most 1 % off keeps footprint and spacing true
_SLACK = 1e-6  # of a cell: rounding in bounds must not add a row
_GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True)
class Block:
    """A rectangle of cells: first row and column, how many of them."""

    row: int
    column: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of a [y, x] array."""
        return slice(self.row, self.row + self.height), slice(self.column, self.column + self.width)


@dataclass(frozen=True)
class Grid:
    """crs: any text that pyproj reads. left, top: outer corner in that CRS; spacing: metres; height, width: cells."""

    crs: str
    left: float
    top: float
    spacing: float
    height: int
    width: int

    @property
    def transform(self) -> Affine:
        """Cell indexes -> CRS coordinates."""
        return Affine(self.spacing, 0, self.left, 0, -self.spacing, self.top)

    @property
    def cells(self) -> int:
        """How many."""
        return self.height * self.width

    @property
    def x(self) -> npt.NDArray[np.float64]:
        """CRS coordinates of the columns' centres."""
        return self.left + (np.arange(self.width, dtype=np.float64) + 0.5) * self.spacing

    @property
    def y(self) -> npt.NDArray[np.float64]:
        """CRS coordinates of the rows' centres, descending."""
        return self.top - (np.arange(self.height, dtype=np.float64) + 0.5) * self.spacing

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in the CRS."""
        bottom, right = self.top - self.height * self.spacing, self.left + self.width * self.spacing
        return self.left, bottom, right, self.top

    def longitudes_latitudes(self, block: Block) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Degrees of the cells' centres: two arrays [height, width]."""
        rows, columns = block.slices
        east, north = np.meshgrid(self.x[columns], self.y[rows])
        longitude, latitude = Transformer.from_crs(self.crs, LONGITUDE_LATITUDE, always_xy=True).transform(east, north)
        return np.asarray(longitude), np.asarray(latitude)

    def blocks(self, side: int) -> Iterator[Block]:
        """All cells in squares of `side` (smaller at the far edges), row by row."""
        for row in range(0, self.height, side):
            for column in range(0, self.width, side):
                yield Block(row, column, min(side, self.height - row), min(side, self.width - column))

    def to_json(self) -> dict[str, Any]:
        """For a map's metadata."""
        return dict(vars(self))


def make_grid(area: Area, spacing: float, imagery_crs: str | None) -> Grid:
    """Cells of `spacing` metres that cover an area: in the imagery's CRS if its metre is true there, else in UTM.

    Raises InvalidInput for a spacing that cannot be used.
    """
    crs = imagery_crs if imagery_crs and scale_error(imagery_crs, area.centre) <= MAX_SCALE_ERROR else utm(area.centre)
    bounds = Transformer.from_crs(LONGITUDE_LATITUDE, crs, always_xy=True).transform_bounds(*area.bounds)
    return grid_over(crs, bounds, spacing)


def grid_over(crs: str, bounds: tuple[float, float, float, float], spacing: float) -> Grid:
    """Cells of `spacing` that cover left, bottom, right, top in a CRS, beginning at the top left corner."""
    if not 0 < spacing < math.inf:
        raise InvalidInput(f"the spacing is {spacing:g} metres", expected="a positive number", fix="leave it out")
    left, bottom, right, top = bounds
    height, width = (max(1, math.ceil(extent / spacing - _SLACK)) for extent in (top - bottom, right - left))
    if height * width > MAX_CELLS:
        raise InvalidInput(
            f"the grid would have {height:,} x {width:,} cells",
            expected=f"at most {MAX_CELLS:,} cells in one map",
            fix="choose a greater --spacing (metres), or split the area",
        )
    return Grid(crs, left, top, float(spacing), height, width)


def scale_error(crs: str, place: tuple[float, float]) -> float:
    """How far one unit of a CRS is from one metre on the ground at a longitude and latitude (1.0: not in metres)."""
    known = CRS.from_user_input(crs)
    if not known.is_projected:
        return 1.0
    step = 100.0
    to_degrees = Transformer.from_crs(known, LONGITUDE_LATITUDE, always_xy=True)
    x, y = to_degrees.transform(*place, direction="INVERSE")
    errors = []
    for dx, dy in ((step, 0.0), (0.0, step)):
        start, end = to_degrees.transform(x, y), to_degrees.transform(x + dx, y + dy)
        errors.append(abs(_GEOD.inv(*start, *end)[2] / step - 1.0))
    return max(errors) if all(math.isfinite(error) for error in errors) else 1.0


def utm(place: tuple[float, float]) -> str:
    """The EPSG code of the UTM zone of a longitude and latitude; beyond 84 N and 80 S, of the polar projection."""
    longitude, latitude = place
    if latitude > 84:
        return "EPSG:32661"
    if latitude < -80:
        return "EPSG:32761"
    zone = min(int((longitude + 180) // 6), 59) + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
