"""Reading on the raster's own pixels takes a short cut that must give what warping gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_maps import LEFT, TOP, UTM, write_raster
from rasterio.transform import Affine
from rasterio.windows import Window

from sat2sound.clients.maps.imagery import reading
from sat2sound.clients.maps.imagery.reading import own_window, read_bands

PIXELS = np.random.default_rng(5).integers(0, 256, (3, 60, 90), dtype=np.uint8)


def grid(column: float, row: float, side: float = 0.3) -> Affine:
    return Affine(side, 0, LEFT + column * 0.3, 0, -side, TOP - row * 0.3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_short_cut_gives_what_warping_gives(dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rasterio.open(write_raster(tmp_path / "a.tif", PIXELS.astype(dtype), colours=None)) as raster:
        assert own_window(raster, UTM, grid(10, 20), 30, 40) == Window(10, 20, 40, 30)
        direct = read_bands(raster, [3, 1, 2], UTM, grid(10, 20), 30, 40)
        monkeypatch.setattr(reading, "own_window", lambda *_: None)
        warped = read_bands(raster, [3, 1, 2], UTM, grid(10, 20), 30, 40)
    np.testing.assert_array_equal(direct[0], PIXELS[[2, 0, 1], 20:50, 10:50].astype(dtype))
    np.testing.assert_array_equal(direct[0], warped[0])
    np.testing.assert_array_equal(direct[1], warped[1])


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32634", grid(10, 20)),  # another CRS
        (UTM, grid(10.01, 20)),  # between pixels
        (UTM, grid(10, 20.5)),
        (UTM, grid(10, 20, side=0.301)),  # another size of pixels
        (UTM, grid(-1, 20)),  # over an edge
        (UTM, grid(51, 20)),
        (UTM, grid(10, 31)),
        (UTM, grid(10, 20) @ Affine.rotation(1.0)),
        (UTM, Affine(0.3, 0, LEFT, 0, 0.3, TOP - 9)),  # rows that go north
    ],
)
def test_any_other_grid_is_warped(crs: str, transform: Affine, tmp_path: Path) -> None:
    with rasterio.open(write_raster(tmp_path / "a.tif", PIXELS)) as raster:
        assert own_window(raster, crs, transform, 30, 40) is None


def test_a_raster_that_may_have_gaps_is_warped(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", PIXELS)
    with rasterio.open(path, "r+") as raster:
        raster.nodata = 0
    with rasterio.open(path) as raster:
        assert own_window(raster, UTM, grid(10, 20), 30, 40) is None
        values, valid = read_bands(raster, [1, 2, 3], UTM, grid(10, 20), 30, 40)
    assert not valid[(values == 0).all(axis=0)].any()
