"""A cell's crop is what the server would make of the same piece of an image."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from made_maps import AERIAL, cell_colours, coloured_cells, raster_plan, write_raster
from PIL import Image
from rasterio.transform import Affine

from sat2sound.clients.maps import crops
from sat2sound.clients.maps.crops import MAX_VIEW_PIXELS, block_crops, block_side
from sat2sound.clients.maps.footprint import Footprint, scale_notes
from sat2sound.clients.maps.grid import Block, Grid
from sat2sound.clients.maps.imagery import View
from sat2sound.clients.maps.imagery.raster import RasterImagery
from sat2sound.preprocessing import crop_and_resize
from sat2sound.satellite_types import SATELLITE_TYPES

COLOURS = cell_colours(3, 4)
EVERY = np.ones((3, 4), dtype=bool)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "a.tif", coloured_cells(COLOURS))


def test_crops_side_by_side(raster: Path) -> None:
    plan = raster_plan(raster)
    assert (plan.grid.height, plan.grid.width) == (3, 4)
    pixels, shown = block_crops(plan.imagery, plan.grid, plan.footprint, Block(0, 0, 3, 4), EVERY, 0.75)
    assert shown.all()
    picture = np.moveaxis(coloured_cells(COLOURS), 0, -1)
    for index, (row, column) in enumerate(np.ndindex(3, 4)):
        tile = picture[256 * row : 256 * (row + 1), 256 * column : 256 * (column + 1)]
        np.testing.assert_array_equal(pixels[index], crop_and_resize(Image.fromarray(tile), AERIAL.satellite, 1))


def test_only_wanted_cells_that_show_enough(raster: Path) -> None:
    plan = raster_plan(raster, spacing=38.4)  # half a footprint: crops at the edge stick out
    assert (plan.grid.height, plan.grid.width) == (6, 8)
    block = Block(0, 0, 6, 8)
    _, shown = block_crops(plan.imagery, plan.grid, plan.footprint, block, np.ones((6, 8), dtype=bool), 0.75)
    inner = np.zeros((6, 8), dtype=bool)
    inner[1:-1, 1:-1] = True
    edges = np.ones((6, 8), dtype=bool)
    edges[[0, 0, -1, -1], [0, -1, 0, -1]] = False  # corners show 9/16 of a crop, edges 3/4
    np.testing.assert_array_equal(shown, edges)
    _, strict = block_crops(plan.imagery, plan.grid, plan.footprint, block, np.ones((6, 8), dtype=bool), 0.9)
    np.testing.assert_array_equal(strict, inner)
    wanted = np.zeros((6, 8), dtype=bool)
    wanted[2, 3] = True
    pixels, some = block_crops(plan.imagery, plan.grid, plan.footprint, block, wanted, 0.75)
    np.testing.assert_array_equal(some, wanted)
    assert pixels.shape == (1, 224, 224, 3)


def test_a_cell_s_crop_does_not_depend_on_what_else_is_wanted(raster: Path) -> None:
    plan = raster_plan(raster, spacing=30.1)  # no whole number of pixels
    block = Block(0, 0, 7, 8)
    every, shown = block_crops(plan.imagery, plan.grid, plan.footprint, block, np.ones((7, 8), dtype=bool), 0.5)
    wanted = np.zeros((7, 8), dtype=bool)
    wanted[3, 4] = True
    one, _ = block_crops(plan.imagery, plan.grid, plan.footprint, block, wanted, 0.5)
    np.testing.assert_array_equal(one[0], every[shown[:3].sum() + shown[3, :4].sum()])


@pytest.mark.parametrize("zoom_level", [1, 3, 10])
@pytest.mark.parametrize("spacing", [1.0, 20.0, 76.8, 150.0, 1000.0])
@pytest.mark.parametrize("name", sorted(SATELLITE_TYPES))
def test_views_stay_small(name: str, spacing: float, zoom_level: int) -> None:
    footprint = Footprint(SATELLITE_TYPES[name], zoom_level)
    grid = Grid("EPSG:32633", 0, 0, spacing, 100, 100)
    side = block_side(grid, footprint)
    widest = round((side - 1) * spacing / footprint.metres_per_pixel) + footprint.pixels
    assert side in (1, 2, 4, 8)
    assert widest <= max(MAX_VIEW_PIXELS, footprint.pixels)


def test_what_is_said_about_the_scale() -> None:
    assert scale_notes(0.35, AERIAL) == []
    assert scale_notes(None, AERIAL) == []
    assert "17 times coarser" in scale_notes(5.0, AERIAL)[0]
    assert "no claim" in scale_notes(5.0, AERIAL)[0]


class Counting(RasterImagery):
    """Says how many views are being made at the same time, the most of them."""

    now, most, far = 0, 0, False

    @property
    def remote(self) -> bool:
        return self.far

    def view(self, crs: str, transform: Affine, height: int, width: int) -> View:
        kind = type(self)
        kind.now += 1
        kind.most = max(kind.most, kind.now)
        time.sleep(0.05)
        kind.now -= 1
        return super().view(crs, transform, height, width)


@pytest.mark.parametrize("far", [False, True])
def test_blocks_take_turns_but_wait_for_a_network_together(
    raster: Path, monkeypatch: pytest.MonkeyPatch, far: bool
) -> None:
    monkeypatch.setattr(crops, "_turn", threading.Semaphore(1))
    monkeypatch.setattr(Counting, "far", far)
    monkeypatch.setattr(Counting, "most", 0)
    plan = raster_plan(raster)
    assert not plan.imagery.remote
    assert RasterImagery("https://host/a.tif").remote
    imagery = Counting(str(raster), (1, 2, 3))
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(block_crops, imagery, plan.grid, plan.footprint, Block(0, 0, 3, 4), EVERY, 0.75)
            for _ in range(4)
        ]
        expected, _ = block_crops(plan.imagery, plan.grid, plan.footprint, Block(0, 0, 3, 4), EVERY, 0.75)
        for call in calls:
            np.testing.assert_array_equal(call.result()[0], expected)
    assert (Counting.most > 1) == far
