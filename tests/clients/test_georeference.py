"""GeoTIFFs are cut at ground scale: made here with known contents, and real ones from the shared data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine
from shared_data import shared_folder

from sat2sound.clients.georeference import GroundCrop, ground_crop
from sat2sound.errors import InvalidInput

EAST, NORTH = 500_000.0, 5_200_000.0  # EPSG:32614: on the central meridian, 99 degrees west


def write(path: Path, bands: npt.NDArray[Any], metres: float, crs: str | None = "EPSG:32614", **options: Any) -> Path:
    """A raster whose centre lies at EAST, NORTH."""
    count, height, width = bands.shape
    transform = Affine(metres, 0, EAST - metres * width / 2, 0, -metres, NORTH + metres * height / 2)
    place = {"crs": crs, "transform": transform} if crs else {}
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=bands.dtype, **place, **options
    ) as raster:
        raster.write(bands)
    return path


def cut(path: Path, **options: Any) -> GroundCrop:
    crop = ground_crop(path, side=256, metres_per_pixel=0.3, **options)
    assert crop is not None
    return crop


def pixels(crop: GroundCrop) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(crop.data)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def halves(side: int) -> npt.NDArray[np.uint8]:
    """Red in the west, blue in the east, with a green stripe of 30 metres (at 0.6 m) north of the middle."""
    bands = np.zeros((3, side, side), np.uint8)
    bands[0, :, : side // 2] = 200
    bands[2, :, side // 2 :] = 200
    bands[1, side // 2 - 50 : side // 2] = 150
    return bands


def test_the_footprint_is_cut_in_metres(tmp_path: Path) -> None:
    crop = cut(write(tmp_path / "a.tif", halves(400), 0.6))
    seen = pixels(crop)
    assert seen.shape == (256, 256, 3)
    assert crop.longitude == pytest.approx(-99.0, abs=1e-6)
    assert crop.latitude == pytest.approx(46.9545, abs=2e-3)
    assert crop.metres_per_pixel == pytest.approx(0.6, rel=1e-3)
    assert crop.notes == ()
    assert (seen[:, :124, 0] > 190).all()  # west is left
    assert (seen[:, 132:, 2] > 190).all()
    green = np.flatnonzero(seen[:, 60, 1] > 75)
    assert green.max() == pytest.approx(127, abs=1)  # north is up: the stripe ends in the middle
    assert len(green) == pytest.approx(30 / 0.3, abs=2)  # 30 metres are 100 pixels


def test_geographic_and_mercator_grids_give_true_metres(tmp_path: Path) -> None:
    # At 60 degrees north a metre of Web Mercator is half a metre on the ground.
    path = tmp_path / "m.tif"
    bands = np.full((3, 400, 400), 90, np.uint8)
    transform = Affine(1.2, 0, 1_113_194.9 - 240, 0, -1.2, 8_399_737.9 + 240)
    options = {"driver": "GTiff", "width": 400, "height": 400, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:3857", transform=transform, **options) as raster:
        raster.write(bands)
    crop = cut(path)
    assert crop.metres_per_pixel == pytest.approx(0.6, rel=5e-3)
    assert crop.latitude == pytest.approx(60.0, abs=1e-4)
    assert crop.longitude == pytest.approx(10.0, abs=1e-4)


def test_a_place_inside_moves_the_crop_and_one_outside_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", halves(1000), 0.6)
    west = cut(path, latitude=46.9545, longitude=-99.0 - 100 / 76_000)  # 100 m west of the middle: red only
    assert west.longitude == pytest.approx(-99.0013, abs=1e-4)
    assert (pixels(west)[..., 2] < 10).all()
    outside = cut(path, latitude=10.0, longitude=10.0)
    assert outside.longitude == pytest.approx(-99.0, abs=1e-6)
    assert "lies outside the raster; its centre is shown" in outside.notes[0]


def test_too_coarse_and_too_small_are_noted(tmp_path: Path) -> None:
    coarse = cut(write(tmp_path / "coarse.tif", halves(400), 5.0))
    assert "5 m per pixel, 17 times coarser than the 0.3 m" in coarse.notes[0]
    small = cut(write(tmp_path / "small.tif", halves(128) + 1, 0.3))
    assert "75 % of the square lies outside" in small.notes[0]
    assert (pixels(small)[:60] == 0).all()


def test_other_bands_and_types(tmp_path: Path) -> None:
    ramp = np.linspace(100, 60_000, 400).astype(np.uint16)
    sixteen = cut(write(tmp_path / "16.tif", np.broadcast_to(ramp, (4, 400, 400)).copy(), 0.3))
    seen = pixels(sixteen)
    assert seen[128, 5, 0] < 10
    assert seen[128, 250, 0] > 245
    assert "uint16 values were stretched to 8 bits" in sixteen.notes[0]
    grey = cut(write(tmp_path / "grey.tif", np.full((1, 400, 400), 77, np.uint8), 0.3))
    assert (pixels(grey) == 77).all()
    bands = np.stack([np.full((400, 400), value, np.uint8) for value in (10, 20, 30)])
    path = write(tmp_path / "bgr.tif", bands, 0.3, photometric="RGB")
    with rasterio.open(path, "r+") as raster:
        kinds = rasterio.enums.ColorInterp
        raster.colorinterp = [kinds.blue, kinds.green, kinds.red]
    assert pixels(cut(path))[0, 0].tolist() == [30, 20, 10]


def test_nothing_to_see_is_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.tif", np.zeros((3, 400, 400), np.uint8), 0.3, nodata=0)
    with pytest.raises(InvalidInput, match=r"no data around 46\.95"):
        cut(empty)
    broken = tmp_path / "broken.tif"
    broken.write_bytes(empty.read_bytes()[:100])
    with pytest.raises(InvalidInput, match=r"cannot read the raster broken\.tif"):
        cut(broken)


def test_ordinary_images_are_left_alone(tmp_path: Path) -> None:
    plain = tmp_path / "plain.tif"
    Image.new("RGB", (300, 300)).save(plain)
    picture = tmp_path / "image.png"
    Image.new("RGB", (300, 300)).save(picture)
    for path in (plain, picture, tmp_path / "absent.tif"):
        assert ground_crop(path, side=256, metres_per_pixel=0.3) is None


def test_a_tiff_cannot_make_gdal_open_something_else(tmp_path: Path) -> None:
    trick = tmp_path / "trick.tif"
    trick.write_bytes(b"<VRTDataset rasterXSize='9' rasterYSize='9'><SRS>EPSG:4326</SRS></VRTDataset>")
    assert ground_crop(trick, side=256, metres_per_pixel=0.3) is None


def test_a_drone_mosaic() -> None:
    crop = cut(shared_folder("data", "geotiff", "drone_bali_pix4d_0.35m.tif"))
    assert crop.metres_per_pixel == pytest.approx(0.3527, abs=1e-3)
    assert (crop.latitude, crop.longitude) == pytest.approx((-8.585, 115.16077), abs=1e-4)
    assert crop.notes == ()
    assert pixels(crop).std() > 20
