"""Everything that decides what a map's cells will hold: made once, stored with the map, compared when it is resumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from shapely import contains_xy

from sat2sound.clients.maps.area import Area
from sat2sound.clients.maps.crops import block_side
from sat2sound.clients.maps.footprint import Footprint, scale_notes
from sat2sound.clients.maps.grid import MAX_SCALE_ERROR, Block, Grid, grid_over, make_grid, scale_error
from sat2sound.clients.maps.imagery import Imagery, ImageryFacts
from sat2sound.clients.maps.quantisation import StoredType
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import Conditions
from sat2sound.preprocessing.metadata import check_hour, check_month

MIN_VALID = 0.75  # share of a crop's pixels that must have data; the rest is black, as at the edges of training images


@dataclass(frozen=True)
class Plan:
    """imagery, grid, footprint: what is cut out where. month, hour: metadata of all cells, None = unknown.

    area: cells outside of it are not embedded; None: all are wanted. stored: how embeddings are kept.
    """

    imagery: Imagery
    grid: Grid
    footprint: Footprint
    area: Area | None = None
    month: int | None = None
    hour: int | None = None
    min_valid: float = MIN_VALID
    stored: StoredType = "int8"

    @property
    def block_side(self) -> int:
        """Cells per side of the blocks of work."""
        return block_side(self.grid, self.footprint)

    def inside(self, block: Block) -> npt.NDArray[np.bool_]:
        """Which cells of a block have their centre in the area: bool [height, width]."""
        if self.area is None or self.area.is_box:
            return np.ones((block.height, block.width), dtype=bool)
        return np.asarray(contains_xy(self.area.outline, *self.grid.longitudes_latitudes(block)))

    def conditions(self, block: Block) -> npt.NDArray[np.float32]:
        """What the encoder is told about each cell: float32 [height, width, 7], in the order of contract.CONDITIONS."""
        longitude, latitude = self.grid.longitudes_latitudes(block)
        common = Conditions(
            gsd=self.footprint.ground_sample_distance, month=check_month(self.month), hour=check_hour(self.hour)
        ).as_array()
        table = np.tile(common, (*latitude.shape, 1))
        table[..., 1], table[..., 2] = latitude, longitude
        return table

    def to_json(self) -> dict[str, Any]:
        """For a map's metadata: two runs with equal JSON fill the same cells with the same values."""
        return {
            "imagery": self.imagery.to_json(),
            "grid": self.grid.to_json(),
            "footprint": self.footprint.to_json(),
            "area": self.area.to_json() if self.area and not self.area.is_box else None,
            "month": self.month,
            "hour": self.hour,
            "min_valid": self.min_valid,
            "stored": self.stored,
        }


def plan_map(
    imagery: Imagery,
    facts: ImageryFacts,
    footprint: Footprint,
    *,
    area: Area | None = None,
    spacing: float | None = None,
    month: int | None = None,
    hour: int | None = None,
    min_valid: float = MIN_VALID,
    stored: StoredType = "int8",
) -> tuple[Plan, list[str]]:
    """The plan for an area (default: the imagery's own extent), and notes for a person. Raises InvalidInput.

    spacing: metres between cells; default: the crop's footprint, so that crops lie side by side.
    """
    check_month(month)
    check_hour(hour)
    if not 0 < min_valid <= 1:
        raise InvalidInput(f"the least valid share is {min_valid:g}", expected="above 0, at most 1", fix="use 0.75")
    metres = footprint.metres if spacing is None else spacing
    if area is None and facts.area is None:
        raise InvalidInput(
            "this imagery has no extent of its own", expected="an area", fix="give --bbox W,S,E,N or --area FILE"
        )
    if area is not None and facts.area is not None and not area.outline.intersects(facts.area.outline):
        raise InvalidInput(
            f"the area {_degrees(area)} lies outside the imagery, which covers {_degrees(facts.area)}",
            expected="an area that the imagery shows (west,south,east,north in degrees)",
            fix="give longitude before latitude, or leave the area out for the whole extent",
        )
    wanted = area or facts.area
    assert wanted is not None  # noqa: S101 (one of the two was just found to be there)
    own = facts.crs is not None and scale_error(facts.crs, wanted.centre) <= MAX_SCALE_ERROR
    if area is None and own and facts.crs and facts.bounds:
        grid = grid_over(facts.crs, facts.bounds, metres)  # not by way of degrees: it begins at the raster's corner
    else:
        grid = make_grid(wanted, metres, facts.crs)
    notes = [*facts.notes, *scale_notes(facts.metres_per_pixel, footprint)]
    return Plan(imagery, grid, footprint, area, month, hour, min_valid, stored), notes


def _degrees(area: Area) -> str:
    return ",".join(f"{value:.5g}" for value in area.bounds)
