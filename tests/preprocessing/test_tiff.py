"""TIFF and GeoTIFF: layouts that GDAL writes are decoded exactly or refused with a reason; hostile ones are refused."""

from __future__ import annotations

import struct
import time
import warnings
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from shared_data import shared_folder

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import Limits, decode_image
from sat2sound.preprocessing.tiff import prepare_tiff

HEIGHT, WIDTH = 40, 48


def geotiff(bands: npt.NDArray[Any], **options: Any) -> bytes:
    """A file as GDAL writes it, bands [n, height, width]."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.io.MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        count, height, width = bands.shape
        options = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype} | options
        with memory.open(**options) as raster:
            raster.write(bands)
        return bytes(memory.read())


def bands(count: int, highest: int, dtype: str) -> npt.NDArray[Any]:
    """Random values from 0 to exactly `highest`."""
    values = np.random.Generator(np.random.PCG64(5)).integers(0, highest + 1, (count, HEIGHT, WIDTH))
    values[:, 3, 7] = highest
    return values.astype(dtype)


def tiff(tags: dict[int, tuple[int, list[int]]], content: bytes = b"") -> bytes:
    """A little-endian TIFF by hand. tags: tag -> (type, values); offsets given as -1 mean `content`, put at the end."""
    formats = {2: "B", 3: "H", 4: "L"}
    sizes = {2: 1, 3: 2, 4: 4}
    end = 8 + 2 + 12 * len(tags) + 4
    places = {}
    for tag, (kind, values) in sorted(tags.items()):
        if len(values) * sizes[kind] > 4:
            places[tag] = end
            end += len(values) * sizes[kind]
    directory, extra = struct.pack("<H", len(tags)), b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{formats[kind]}", *(end if value == -1 else value for value in values))
        directory += struct.pack("<HHL", tag, kind, len(values))
        directory += struct.pack("<L", places[tag]) if tag in places else packed.ljust(4, b"\0")
        extra += packed if tag in places else b""
    return b"II*\0" + struct.pack("<L", 8) + directory + bytes(4) + extra + content


def grey(**changes: tuple[int, list[int]]) -> dict[int, tuple[int, list[int]]]:
    """Tags of a 64 x 64 grey image in one deflated strip; `t278=(4, [1])` changes tag 278."""
    tags = {256: (4, [64]), 257: (4, [64]), 258: (3, [8]), 259: (3, [8]), 262: (3, [1]), 273: (4, [-1]), 277: (3, [1])}
    tags |= {278: (4, [64]), 279: (4, [len(DEFLATED)])}
    return tags | {int(name[1:]): value for name, value in changes.items()}


DEFLATED = zlib.compress(bytes(range(64)) * 64)


@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
@pytest.mark.parametrize("tiled", [False, True], ids=["strips", "tiles"])
@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("photometric", [None, "RGB"], ids=["colours unsaid", "rgb"])
@pytest.mark.parametrize(
    ("count", "dtype", "highest", "shift"),
    [
        (1, "uint8", 250, 0),
        (3, "uint8", 250, 0),
        (4, "uint8", 250, 0),
        (1, "uint16", 10_000, 6),
        (3, "uint16", 4_095, 4),
        (4, "uint16", 65_535, 8),
        (4, "uint16", 10_000, 6),
        (4, "uint16", 200, 0),
    ],
)
def test_what_gdal_writes(
    count: int, dtype: str, highest: int, shift: int, photometric: str | None, compression: str, tiled: bool, order: str
) -> None:
    if photometric and count == 1:
        photometric = "MINISWHITE" if dtype == "uint8" else None
    options: dict[str, Any] = {"photometric": photometric} if photometric else {}
    options |= {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    values = bands(count, highest, dtype)
    decoded = np.asarray(decode_image(geotiff(values, compress=compression, endianness=order, **options), Limits()))
    if photometric == "MINISWHITE":
        values = 255 - values
    colours = values[:3] if count >= 3 else values[[0, 0, 0]]
    top = int(values.max()) if dtype == "uint16" else 255
    assert top.bit_length() - 8 == shift or shift == 0
    np.testing.assert_array_equal(decoded, (colours >> shift).transpose(1, 2, 0))


@pytest.mark.parametrize("count", [3, 4])
def test_predictor_and_bigtiff(count: int) -> None:
    values = bands(count, 3000, "uint16")
    for options in ({"predictor": 2}, {"BIGTIFF": "YES"}):
        decoded = np.asarray(decode_image(geotiff(values, compress="deflate", **options), Limits()))
        np.testing.assert_array_equal(decoded, (values[:3] >> 4).transpose(1, 2, 0))


def test_separate_planes() -> None:
    values = bands(4, 250, "uint8")
    decoded = np.asarray(decode_image(geotiff(values, compress="deflate", interleave="band"), Limits()))
    np.testing.assert_array_equal(decoded, values[:3].transpose(1, 2, 0))
    one = bands(1, 4095, "uint16")
    decoded = np.asarray(decode_image(geotiff(one, interleave="band"), Limits()))
    np.testing.assert_array_equal(decoded, (one[[0, 0, 0]] >> 4).transpose(1, 2, 0))


def test_jpeg_inside() -> None:
    ramp = np.broadcast_to(np.arange(HEIGHT, dtype=np.uint8)[None, :, None] * 5, (3, HEIGHT, WIDTH))
    for options in ({}, {"photometric": "YCBCR"}):
        decoded = np.asarray(decode_image(geotiff(ramp, compress="jpeg", **options), Limits()))
        assert np.abs(decoded.astype(int) - ramp.transpose(1, 2, 0)).max() <= 6


def test_no_data_is_black_and_does_not_count_for_the_scale() -> None:
    values = bands(3, 4000, "uint16")
    values[:, :5] = 65_535
    decoded = np.asarray(decode_image(geotiff(values, nodata=65_535, compress="lzw"), Limits()))
    assert not decoded[:5].any()
    np.testing.assert_array_equal(decoded[5:], (values[:, 5:] >> 4).transpose(1, 2, 0))
    heights = bands(1, 4000, "int16")
    heights[:, :5] = -9999
    decoded = np.asarray(decode_image(geotiff(heights, nodata=-9999), Limits()))
    assert not decoded[:5].any()
    np.testing.assert_array_equal(decoded[5:, :, 0], heights[0, 5:] >> 4)


REFUSED: dict[str, tuple[int, str, dict[str, Any], str]] = {
    "13 bands": (13, "uint16", {}, "has 13 bands of 16 bits; expected 1 band, or 3 or 4"),
    "5 bands": (5, "uint8", {}, "has 5 bands of 8 bits"),
    "2 deep bands": (2, "uint16", {}, "2 bands of 16-bit unsigned integers"),
    "signed colours": (3, "int16", {}, "3 bands of 16-bit signed integers"),
    "float colours": (4, "float32", {"compress": "lzw"}, "4 bands of 32-bit floating point"),
    "deep planes": (3, "uint16", {"interleave": "band", "compress": "lzw"}, "one after another; .*INTERLEAVE=PIXEL"),
    "uncompressed planes": (4, "uint8", {"interleave": "band"}, "4 bands of 8-bit unsigned integers one after another"),
    "other byte order": (1, "float32", {"endianness": "BIG", "compress": "lzw"}, "in the other byte order"),
    "compression": (3, "uint8", {"compress": "lzma"}, r"compression \(34925\) is not accepted"),
}


@pytest.mark.parametrize(("count", "dtype", "options", "said"), REFUSED.values(), ids=list(REFUSED))
def test_layouts_that_are_refused_with_a_reason(count: int, dtype: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        decode_image(geotiff(bands(count, 100, dtype), **options), Limits())


def test_made_by_hand() -> None:
    decoded = np.asarray(decode_image(tiff(grey(), DEFLATED), Limits()))
    np.testing.assert_array_equal(decoded[:, :, 0], np.tile(np.arange(64, dtype=np.uint8), (64, 1)))


HUGE = 2**31 - 1
HOSTILE: dict[str, tuple[bytes, str]] = {
    "header only": (b"II*\0\x08\0\0\0", "no directory"),
    "directory beyond the end": (b"II*\0\xff\xff\xff\x7f", "no directory"),
    "BigTIFF directory beyond the end": (b"II+\0\x08\0\0\0" + b"\xff" * 8, "no directory"),
    "BigTIFF with a million entries": (
        b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 10**6) + bytes(20) * 10**6,
        "a directory of 1,000,000 entries",
    ),
    "no tags": (tiff({}), "0 x 0 pixels"),
    "dimensions": (tiff(grey(t256=(4, [HUGE]), t257=(4, [HUGE])), DEFLATED), f"{HUGE} x {HUGE} pixels"),
    "dimension of a wrong type": (tiff(grey(t256=(2, [64])), DEFLATED), "tag 256 has values of type 2"),
    "a tile of 2 GB": (
        tiff(grey(t322=(4, [46_000]), t323=(4, [46_000]), t324=(4, [-1]), t325=(4, [len(DEFLATED)])), DEFLATED),
        "tiles of more than 4,096 x 4,096 pixels",
    ),
    "strips of the same bytes": (
        tiff(grey(t257=(4, [9000]), t273=(4, [-1] * 9000), t278=(4, [1]), t279=(4, [len(DEFLATED)] * 9000)), DEFLATED),
        "longer than the file",
    ),
    "strips that overflow": (tiff(grey(t279=(4, [2**32 - 1] * 9)), DEFLATED), "longer than the file"),
    "strips of unknown length": (
        tiff({k: v for k, v in grey().items() if k != 279}, DEFLATED),
        "does not say how long",
    ),
    "a million strips": (
        tiff(grey(t257=(4, [10**6]), t259=(3, [1]), t273=(4, [-1] * 10**6), t278=(4, [1])), DEFLATED),
        "more than 65,536 strips",
    ),
    "tag beyond the end": (
        tiff(grey(), DEFLATED).replace(struct.pack("<HHL", 279, 4, 1), struct.pack("<HHL", 279, 4, 9_999)),
        "tag 279 reaches beyond the end",
    ),
    "many samples": (tiff(grey(t277=(3, [60_000])), DEFLATED), "60000 bands"),
    "cut off": (tiff(grey(), DEFLATED[: len(DEFLATED) // 2]), "damaged or incomplete"),
}


@pytest.mark.parametrize(("data", "said"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_directories_are_refused_at_once(data: bytes, said: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidInput, match=said):
        decode_image(data, Limits())
    assert time.process_time() - started < 1.0


def test_a_tag_that_comes_twice() -> None:
    data = tiff(grey(t279=(4, [len(DEFLATED)])), DEFLATED)
    twice = data.replace(struct.pack("<HHLL", 278, 4, 1, 64), struct.pack("<HHLL", 277, 4, 1, 64))
    with pytest.raises(InvalidInput, match="tag 277 comes twice"):
        decode_image(twice, Limits())


def test_only_what_needs_it_is_rewritten() -> None:
    plain = tiff(grey(), DEFLATED)
    assert prepare_tiff(plain, Limits()).data == plain
    said = geotiff(bands(3, 100, "uint8"), photometric="RGB")
    assert prepare_tiff(said, Limits()).data == said


def test_later_images_do_not_matter() -> None:
    data = tiff(grey(), DEFLATED)
    end = 8 + 2 + 12 * len(grey())
    for following in (8, len(data) + 100, 2**32 - 1):  # a loop, and beyond the end
        looped = data[:end] + struct.pack("<L", following) + data[end + 4 :]
        assert decode_image(looped, Limits()).size == (64, 64)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("m_4709963_se_14_1_20200831.tif", (934, 723)),
        ("drone_bali_pix4d_0.35m.tif", (686, 758)),
        ("landsat7_bahamas_rgb_300m.tif", (791, 718)),
        ("landsat7_sf_bay_432_false_colour.tif", (2181, 1917)),
    ],
)
def test_real_rasters_equal_gdal(name: str, size: tuple[int, int]) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = shared_folder("data", "geotiff", name)
    image = decode_image(path.read_bytes(), Limits())
    assert (image.mode, image.size) == ("RGB", size)
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(np.asarray(image), raster.read((1, 2, 3)).transpose(1, 2, 0))
