"""Rasters of every kind that people have, and what is said about those that cannot be used."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_maps import BLUE, GREEN, LEFT, RED, TOP, UTM, cell_colours, coloured_cells, damage_last_tile, write_raster
from pyproj import Transformer
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.warp import calculate_default_transform, reproject

from sat2sound.clients.maps.imagery.raster import RasterImagery
from sat2sound.errors import InvalidInput

PIXELS = coloured_cells(cell_colours(2, 3), side=128)  # [3, 256, 384]
GRID = Affine(0.3, 0, LEFT, 0, -0.3, TOP)


def test_pixels_on_their_own_grid_are_the_raster_s(tmp_path: Path) -> None:
    imagery, facts = RasterImagery(str(write_raster(tmp_path / "a.tif", PIXELS))).prepared()
    assert facts.crs == UTM
    assert facts.metres_per_pixel == pytest.approx(0.3, rel=1e-3)
    assert facts.notes == ()
    view = imagery.view(UTM, GRID, 256, 384)
    np.testing.assert_array_equal(view.pixels, np.moveaxis(PIXELS, 0, -1))
    assert view.valid.all()


def test_outside_of_the_raster_is_invalid_and_black(tmp_path: Path) -> None:
    imagery, _ = RasterImagery(str(write_raster(tmp_path / "a.tif", PIXELS))).prepared()
    view = imagery.view(UTM, Affine(0.3, 0, LEFT - 30.0, 0, -0.3, TOP), 256, 384)
    assert not view.valid[:, :100].any()
    assert view.valid[:, 100:].all()
    assert not view.pixels[:, :100].any()
    np.testing.assert_array_equal(view.pixels[:, 100:], np.moveaxis(PIXELS, 0, -1)[:, :284])


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint32", "float32", "float64"])
def test_outside_is_invalid_whatever_the_values_are(dtype: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", PIXELS.astype(dtype), colours=None)
    view = RasterImagery(str(path)).prepared()[0].view(UTM, Affine(0.3, 0, LEFT - 30.0, 0, -0.3, TOP), 256, 384)
    assert not view.valid[:, :100].any()
    assert view.valid[:, 100:].all()
    assert not view.pixels[:, :100].any()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_an_alpha_band_says_what_is_there(dtype: str, tmp_path: Path) -> None:
    alpha = np.full_like(PIXELS[:1], 255)
    alpha[:, :, :50] = 0
    colours = [RED, GREEN, BLUE, ColorInterp.alpha]
    path = write_raster(tmp_path / "a.tif", np.concatenate([PIXELS, alpha]).astype(dtype), colours=colours)
    view = RasterImagery(str(path), value_range=(0.0, 255.0)).prepared()[0].view(UTM, GRID, 256, 384)
    assert not view.valid[:, :50].any()
    assert view.valid[:, 50:].all()


@pytest.mark.parametrize("turned", ["south up", "rotated"])
def test_rows_need_not_go_south(turned: str, tmp_path: Path) -> None:
    if turned == "south up":
        pixels, transform = PIXELS[:, ::-1], Affine(0.3, 0, LEFT, 0, 0.3, TOP - 256 * 0.3)
    else:  # rows go east, columns go south
        pixels, transform = PIXELS.transpose(0, 2, 1), Affine(0, 0.3, LEFT, -0.3, 0, TOP)
    path = write_raster(tmp_path / "a.tif", np.ascontiguousarray(pixels), transform=transform)
    imagery, facts = RasterImagery(str(path)).prepared()
    assert facts.bounds == pytest.approx((LEFT, TOP - 76.8, LEFT + 115.2, TOP))
    view = imagery.view(UTM, GRID, 256, 384)
    # GDAL places pixels of a warped view to an eighth of a pixel; neighbours, and cells still more, differ in colour
    assert np.abs(view.pixels.astype(int) - np.moveaxis(PIXELS, 0, -1)).mean() < 1
    assert view.valid.all()


def test_a_table_of_colours_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", PIXELS[:1], colours=None)
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, {value: (value, 0, 255 - value, 255) for value in range(256)})
    with pytest.raises(InvalidInput, match=r"colours in a table.*-expand rgb"):
        RasterImagery(str(path)).prepared()


def test_nodata_is_invalid(tmp_path: Path) -> None:
    pixels = PIXELS.copy()
    pixels[:, :50] = 0
    imagery, _ = RasterImagery(str(write_raster(tmp_path / "a.tif", pixels, nodata=0))).prepared()
    view = imagery.view(UTM, GRID, 256, 384)
    assert not view.valid[:50].any()
    assert view.valid[50:].all()


def test_any_crs_shows_the_same_ground(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "a.tif", PIXELS)
    with rasterio.open(source) as raster:
        transform, width, height = calculate_default_transform(UTM, "EPSG:4326", 384, 256, *raster.bounds)
        degrees = np.zeros((3, height, width), np.uint8)
        reproject(raster.read(), degrees, src_transform=raster.transform, src_crs=UTM, dst_transform=transform,
                  dst_crs="EPSG:4326")  # fmt: skip
    imagery, facts = RasterImagery(
        str(write_raster(tmp_path / "b.tif", degrees, crs="EPSG:4326", transform=transform))
    ).prepared()
    assert facts.metres_per_pixel == pytest.approx(0.3, rel=0.15)
    centres = np.array([[64, 64], [64, 192], [192, 320]])
    view = imagery.view(UTM, GRID, 256, 384)
    for row, column in centres:
        window = (slice(row - 20, row + 20), slice(column - 20, column + 20))
        np.testing.assert_allclose(
            view.pixels[window].mean((0, 1)), np.moveaxis(PIXELS, 0, -1)[window].mean((0, 1)), atol=3
        )


def test_bands_by_name_by_choice_and_by_guess(tmp_path: Path) -> None:
    extra = np.concatenate([PIXELS[::-1], np.full_like(PIXELS[:1], 9)])
    labelled = write_raster(tmp_path / "bgrn.tif", extra, colours=[BLUE, GREEN, RED, ColorInterp.undefined])
    assert RasterImagery(str(labelled)).prepared()[0].bands == (3, 2, 1)
    unlabelled = write_raster(tmp_path / "rgbn.tif", np.concatenate([PIXELS, PIXELS[:1]]), colours=None,
                              photometric="MINISBLACK")  # fmt: skip
    imagery, facts = RasterImagery(str(unlabelled)).prepared()
    assert imagery.bands == (1, 2, 3)
    assert "does not say which of its 4 bands" in facts.notes[0]
    assert RasterImagery(str(unlabelled), (3, 2, 1)).prepared()[0].bands == (3, 2, 1)


@pytest.mark.parametrize("bands", [(0, 1, 2), (1, 2, 4), (1, 2), ()])
def test_bands_that_are_not_there(bands: tuple[int, ...], tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", PIXELS)
    with pytest.raises(InvalidInput, match="three numbers from 1 to 3"):
        RasterImagery(str(path), bands).prepared()


def test_one_band_is_shown_as_grey_with_a_warning(tmp_path: Path) -> None:
    imagery, facts = RasterImagery(str(write_raster(tmp_path / "a.tif", PIXELS[:1], colours=None))).prepared()
    assert "the raster has 1 band" in facts.notes[0]
    view = imagery.view(UTM, GRID, 256, 384)
    for band in range(3):
        np.testing.assert_array_equal(view.pixels[..., band], PIXELS[0])


def test_sixteen_bits_are_stretched_alike_everywhere(tmp_path: Path) -> None:
    pixels = PIXELS.astype(np.uint16) * 40
    imagery, facts = RasterImagery(str(write_raster(tmp_path / "a.tif", pixels, colours=None))).prepared()
    assert any("uint16 values are stretched" in note for note in facts.notes)
    low, high = imagery.value_range or (0, 0)
    assert (low, high) == pytest.approx(np.percentile(pixels, [2, 98]), rel=0.02)
    expected = np.clip((np.moveaxis(pixels, 0, -1) - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(imagery.view(UTM, GRID, 256, 384).pixels, expected, atol=0.51)
    chosen, said = RasterImagery(str(tmp_path / "a.tif"), None, (0.0, 10_200.0)).prepared()
    assert not any("stretched" in note for note in said.notes)
    np.testing.assert_allclose(chosen.view(UTM, GRID, 256, 384).pixels, np.moveaxis(PIXELS, 0, -1), atol=0.51)


def test_floats_with_gaps(tmp_path: Path) -> None:
    pixels = PIXELS.astype(np.float32) / 255
    pixels[:, :, :40] = np.nan
    imagery, _ = RasterImagery(str(write_raster(tmp_path / "a.tif", pixels, colours=None))).prepared()
    view = imagery.view(UTM, GRID, 256, 384)
    assert not view.valid[:, :40].any()
    assert view.valid[:, 45:].all()


def test_false_colours_and_wrong_band_order_are_noticed(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    brightness, greenness = random.normal(120, 40, (256, 384)), random.normal(0, 40, (256, 384))
    red, green, blue = brightness - greenness / 8, brightness + greenness / 8, brightness * 0.8
    near_infrared = 120 - (brightness - 120) / 2 + greenness
    natural = np.stack([red, green, blue, near_infrared]).clip(0, 255).astype(np.uint8)
    path = write_raster(tmp_path / "a.tif", natural, colours=None, photometric="MINISBLACK")
    assert not any("false" in note for note in RasterImagery(str(path), (1, 2, 3)).facts().notes)
    for bands in ((4, 1, 2), (4, 3, 1)):
        notes = RasterImagery(str(path), bands).facts().notes
        assert any("the colours look false" in note and "--bands" in note for note in notes), bands


def test_a_raster_without_a_crs(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        path = write_raster(tmp_path / "a.tif", PIXELS, crs=None)
    with pytest.raises(InvalidInput, match=r"no coordinate reference system.*gdal_translate"):
        RasterImagery(str(path)).prepared()


def test_a_raster_across_the_antimeridian(tmp_path: Path) -> None:
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3832", always_xy=True).transform(179.9999, 10.0)
    transform = Affine(0.3, 0, x, 0, -0.3, y)
    path = write_raster(tmp_path / "a.tif", PIXELS, crs="EPSG:3832", transform=transform)
    with pytest.raises(InvalidInput, match="antimeridian"):
        RasterImagery(str(path)).prepared()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.tif", None),
        ("text.tif", b"no raster"),
        ("other.vrt", b"<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>"),  # could open any other file
    ],
)
def test_files_that_are_none(name: str, content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot read the raster"):
        RasterImagery(str(tmp_path / name)).prepared()


def test_a_damaged_tile_is_an_error_of_its_place_only(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.concatenate([PIXELS, PIXELS], axis=1))
    imagery, _ = RasterImagery(str(path)).prepared()
    damage_last_tile(path)
    assert imagery.view(UTM, GRID, 200, 200).valid.all()
    with pytest.raises(OSError, match=r"a\.tif"):
        imagery.view(UTM, Affine(0.3, 0, LEFT + 60.0, 0, -0.3, TOP - 90.0), 200, 200)
