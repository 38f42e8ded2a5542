"""Decoding, cropping and resizing: the published pixels, geometry, orientation, odd and hostile files."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import made_inputs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shared_data import shared_folder

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Limits,
    crop_and_resize,
    decode_image,
    normalise_pixels,
    resize_whole,
)
from sat2sound.satellite_types import SATELLITE_TYPES, SatelliteType

# Pillow's remarks about odd metadata; the library ignores them, pytest makes them errors again
pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\.")

PICTURE = made_inputs.picture()
JPEG = made_inputs.encoded(PICTURE, "JPEG", quality=90)
ORIENTATION = 0x0112


def test_pixels_equal_the_published_ones() -> None:
    folder = shared_folder("parity")
    expected = np.load(folder / "expected.npz")
    entries = json.loads((folder / "manifest.json").read_text())["satellite"]
    assert len(entries) >= 4
    for index, entry in enumerate(entries):
        image = decode_image((folder / entry["file"]).read_bytes(), Limits())
        pixels = crop_and_resize(image, SATELLITE_TYPES[entry["sat_type"]], entry["zoom_level"])
        assert np.abs(normalise_pixels(pixels) - expected[f"sat{index}_pixels"]).max() <= 1e-6


def test_normalisation() -> None:
    pixels = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    expected = (pixels.astype(np.float64) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    result = normalise_pixels(pixels)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    assert np.abs(result - expected.transpose(0, 3, 1, 2)).max() < 1e-6
    np.testing.assert_array_equal(normalise_pixels(pixels[1]), result[1])


def unresized(width: int, height: int, side: int = 224) -> np.ndarray[Any, Any]:
    """What a crop of 224 pixels takes from an image whose red and green say where each pixel was (+1)."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    where = np.stack([x % 255 + 1, y % 255 + 1, np.zeros_like(x)], axis=2).astype(np.uint8)
    return crop_and_resize(Image.fromarray(where), SatelliteType("test", 1.0, side), 1).astype(int)


@pytest.mark.parametrize(
    ("size", "first"),
    # round() of a half goes to the even neighbour, as in the published preparation
    [(224, 0), (225, 0), (226, 1), (227, 2), (228, 2), (229, 2), (231, 4), (255, 16)],
)
def test_centre_crop(size: int, first: int) -> None:
    result = unresized(size, 224)
    np.testing.assert_array_equal(result[0, :, 0], np.arange(first, first + 224) + 1)
    np.testing.assert_array_equal(unresized(224, size)[:, 0, 1], np.arange(first, first + 224) + 1)


@pytest.mark.parametrize(("size", "before"), [(223, 0), (222, 1), (221, 1), (220, 2), (201, 11), (16, 104)])
def test_smaller_images_are_centred_on_zeros(size: int, before: int) -> None:
    result = unresized(size, 224)
    assert not result[:, :before].any()
    assert not result[:, before + size :].any()
    np.testing.assert_array_equal(result[0, before : before + size, 0], np.arange(size) + 1)


def test_zoom_level_multiplies_the_crop() -> None:
    image = PICTURE.resize((1000, 800))
    tile = SatelliteType("test", 1.0, 250)
    box = image.crop((125, 25, 875, 775)).resize((224, 224), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(crop_and_resize(image, tile, 3), np.asarray(box))


def test_whole_image() -> None:
    image = PICTURE.resize((301, 200))
    box = image.crop((50, 0, 250, 200)).resize((224, 224), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize_whole(image), np.asarray(box))
    assert resize_whole(image).flags.writeable


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind: str, orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    stored = PICTURE.crop((0, 0, 200, 120))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options: dict[str, Any] = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    options |= {"tiffinfo": {ORIENTATION: orientation}} if kind == "TIFF" else {"exif": exif}
    upright = np.asarray(stored.transpose(turns[orientation]) if orientation > 1 else stored).astype(int)
    result = np.asarray(decode_image(made_inputs.encoded(stored, kind, **options), Limits())).astype(int)
    assert result.shape == upright.shape
    assert np.abs(result - upright).mean() < (3 if kind == "JPEG" else 1e-9)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\xff" * 500, b"Exif\0\0MM\0*"])
def test_broken_exif_is_no_reason_to_refuse(exif: bytes) -> None:
    plain = np.asarray(decode_image(JPEG, Limits()))
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    np.testing.assert_array_equal(np.asarray(decode_image(JPEG[:2] + segment + JPEG[2:], Limits())), plain)


def test_only_the_first_frame() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue")]
    for kind, options in (("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = made_inputs.encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert np.asarray(decode_image(data, Limits())).reshape(-1, 3).max(axis=0).tolist() == [255, 0, 0]
    data = made_inputs.encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert np.asarray(decode_image(data, Limits()))[32, 32, 0] > 250


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_truncated(kind: str, share: float) -> None:
    data = made_inputs.encoded(PICTURE, kind)
    with pytest.raises(InvalidInput, match=r"damaged or incomplete|not an image"):
        decode_image(data[: int(len(data) * share)], Limits())


def test_sizes() -> None:
    with pytest.raises(InvalidInput, match="1 x 1 pixels; expected at least 16 pixels on each side"):
        decode_image(made_inputs.encoded(Image.new("RGB", (1, 1))), Limits())
    with pytest.raises(InvalidInput, match="20000 x 20000 pixels; expected at most 64,000,000 pixels"):
        decode_image(made_inputs.encoded(Image.new("1", (20_000, 20_000))), Limits())
    with pytest.raises(InvalidInput, match=r"32\.0 MiB; expected at most 32 MiB"):
        decode_image(JPEG + bytes(32 * 1024 * 1024), Limits())
    assert decode_image(made_inputs.encoded(Image.new("L", (16, 16))), Limits()).size == (16, 16)


def test_threads() -> None:
    files = [
        made_inputs.encoded(made_inputs.picture(seed), kind) for seed in range(3) for kind in ("JPEG", "TIFF", "WEBP")
    ]
    files += [made_inputs.encoded(Image.fromarray(np.asarray(PICTURE)[:, :, 0].astype(np.uint16) * 9))]
    alone = [np.asarray(decode_image(data, Limits())) for data in files]

    def check(turn: int) -> bool:
        at = turn % len(files)
        try:
            decode_image(files[at][: 40 + turn], Limits())
        except InvalidInput:
            return bool((np.asarray(decode_image(files[at], Limits())) == alone[at]).all())
        return False

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(check, range(80)))


def test_odd_metadata_leaves_nothing_on_standard_error() -> None:
    """Outside pytest, which replaces the warning filters."""
    code = """if True:
        import sys, threading, warnings
        from sat2sound.preprocessing import Limits, decode_image
        data = sys.stdin.buffer.read()
        before = list(warnings.filters)
        threads = [threading.Thread(target=decode_image, args=(data, Limits())) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert warnings.filters == before
        print(decode_image(data, Limits()).size)
    """
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + b"\x0e\x01\x02\0\xff\0\0\0\xff\0\0\0" * 2
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    data = JPEG[:2] + segment + JPEG[2:]
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, timeout=60)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert done.stdout.split() == str(PICTURE.size).encode().split()


SEEDS = [
    made_inputs.encoded(PICTURE.resize((40, 48)).convert(mode), kind, **options)
    for mode, kind, options in (
        ("RGB", "JPEG", {}),
        ("L", "JPEG", {"progressive": True}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {}),
        ("RGB", "WEBP", {}),
        ("RGBA", "WEBP", {"lossless": True}),
        ("RGB", "TIFF", {}),
        ("L", "TIFF", {"compression": "tiff_lzw"}),
        ("RGBA", "TIFF", {"compression": "tiff_deflate"}),
        ("F", "TIFF", {"compression": "packbits"}),
    )
]


def decode_or_refuse(data: bytes) -> None:
    try:
        pixels = resize_whole(decode_image(data, Limits()))
    except InvalidInput as error:
        refused: InvalidInput | None = error
    else:
        refused = None
        assert pixels.shape == (224, 224, 3)
    assert refused is None or (refused.problem and refused.expected and refused.fix and len(str(refused)) < 500)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400), st.sampled_from([b"", *(seed[:30] for seed in SEEDS), b"II+\0", b"MM\0*"]))
def test_random_bytes(data: bytes, beginning: bytes) -> None:
    decode_or_refuse(beginning + data)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=5)), min_size=1, max_size=6))
def test_altered_files(data: bytes, changes: list[tuple[float, bytes]]) -> None:
    for place, new in changes:
        at = int(place**3 * len(data))  # mostly near the beginning, where the headers are
        data = data[:at] + new + data[at + len(new) :]
    decode_or_refuse(data)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I", "F"]),
    st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF"]),
    st.integers(16, 400),
    st.integers(16, 400),
    st.integers(1, 10),
    st.integers(0, 2**32 - 1),
)
def test_any_valid_image(mode: str, kind: str, width: int, height: int, zoom_level: int, seed: int) -> None:
    values = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (height, width, 4), dtype=np.uint8)
    image = Image.fromarray(values[:, :, :3])
    image = Image.fromarray(values[:, :, 0].astype(np.uint16)) if mode == "I;16" else image.convert(mode)
    try:
        data = made_inputs.encoded(image, kind)
    except (OSError, ValueError, KeyError):
        return  # a mode that this format does not have
    decoded = decode_image(data, Limits())
    assert (decoded.mode, decoded.size) == ("RGB", (width, height))
    for pixels in (crop_and_resize(decoded, SATELLITE_TYPES["aerial"], zoom_level), resize_whole(decoded)):
        assert pixels.shape == (224, 224, 3)
        assert pixels.dtype == np.uint8
