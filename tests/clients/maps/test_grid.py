from __future__ import annotations

import numpy as np
import pytest
from pyproj import Geod

from sat2sound.clients.maps.area import area_of_box
from sat2sound.clients.maps.grid import Block, Grid, grid_over, make_grid, scale_error, utm
from sat2sound.errors import InvalidInput


@pytest.mark.parametrize(
    ("crs", "used"),
    [
        ("EPSG:32632", "EPSG:32632"),
        ("EPSG:25832", "EPSG:25832"),  # the imagery's own, since its metre is true here
        ("EPSG:3857", "EPSG:32632"),  # 48 % too long at this latitude
        ("EPSG:4326", "EPSG:32632"),
        ("EPSG:2263", "EPSG:32632"),  # feet
        (None, "EPSG:32632"),
    ],
)
def test_the_grid_is_in_a_crs_with_true_metres(crs: str | None, used: str) -> None:
    grid = make_grid(area_of_box([7.55, 47.5, 7.6, 47.55]), 100.0, crs)
    assert grid.crs == used
    longitude, latitude = grid.longitudes_latitudes(Block(0, 0, 2, 2))
    geod = Geod(ellps="WGS84")
    for here, there in (((0, 0), (0, 1)), ((0, 0), (1, 0))):
        metres = geod.inv(longitude[here], latitude[here], longitude[there], latitude[there])[2]
        assert metres == pytest.approx(100.0, rel=0.002)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ((7.6, 47.5), "EPSG:32632"),
        ((115.2, -8.6), "EPSG:32750"),
        ((-180.0, 10.0), "EPSG:32601"),
        ((180.0, 10.0), "EPSG:32660"),
        ((10.0, 85.0), "EPSG:32661"),
        ((10.0, -85.0), "EPSG:32761"),
    ],
)
def test_utm_zones(place: tuple[float, float], code: str) -> None:
    assert utm(place) == code
    assert scale_error(code, place) < 0.01


def test_cells_cover_the_bounds_and_rounding_adds_none() -> None:
    grid = grid_over("EPSG:32632", (100.0, 200.0, 100.0 + 3 * 76.8, 200.0 + 2 * 76.8), 76.8)
    assert (grid.height, grid.width) == (2, 3)
    assert grid.bounds == pytest.approx((100.0, 200.0, 330.4, 353.6))
    assert grid.x.tolist() == pytest.approx([138.4, 215.2, 292.0])
    assert grid.y.tolist() == pytest.approx([315.2, 238.4])
    assert grid_over("EPSG:32632", (0, 0, 10, 10), 76.8).cells == 1
    assert grid_over("EPSG:32632", (0, 0, 77, 77), 76.8).cells == 4


def test_blocks_cover_every_cell_once() -> None:
    grid = Grid("EPSG:32632", 0, 0, 1.0, 19, 10)
    seen = np.zeros((19, 10), dtype=int)
    for block in grid.blocks(8):
        seen[block.slices] += 1
        assert max(block.height, block.width) <= 8
    assert (seen == 1).all()


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), float("inf")])
def test_spacings_that_are_none(spacing: float) -> None:
    with pytest.raises(InvalidInput, match="spacing is"):
        grid_over("EPSG:32632", (0, 0, 10, 10), spacing)


def test_a_grid_beyond_reason() -> None:
    with pytest.raises(InvalidInput, match=r"at most 1,000,000,000 cells.*greater --spacing"):
        grid_over("EPSG:32632", (0, 0, 1e6, 1e6), 0.01)
