"""Every mode becomes 8-bit RGB by the stated rule."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import made_inputs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import Limits, decode_image

PICTURE = made_inputs.picture()
COLOURS = np.asarray(PICTURE)


def decoded(image: Image.Image, kind: str = "PNG", **options: Any) -> npt.NDArray[np.int16]:
    return np.asarray(decode_image(made_inputs.encoded(image, kind, **options), Limits())).astype(np.int16)


def deep_png(values: npt.NDArray[np.uint16]) -> bytes:
    """16 bits per channel, which Pillow cannot write: values [height, width, channels]."""
    height, width, channels = values.shape
    rows = np.zeros((height, 1 + width * channels * 2), np.uint8)
    rows[:, 1:] = values.astype(">u2").reshape(height, -1).view(np.uint8)
    header = made_inputs.png(width, height, data=rows.tobytes())
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return header[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + header[33:]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_lossless_modes(mode: str, kind: str) -> None:
    image = PICTURE.convert(mode)
    np.testing.assert_array_equal(decoded(image, kind), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_not_blended() -> None:
    half = PICTURE.copy()
    half.putalpha(Image.linear_gradient("L").resize(PICTURE.size))
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        np.testing.assert_array_equal(decoded(half, kind, **options), COLOURS)


def test_transparency_of_palettes_and_single_colours() -> None:
    palette = PICTURE.quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    for transparency in (3, bytes(range(0, 256, 16))):
        np.testing.assert_array_equal(decoded(palette, transparency=transparency), expected)
    np.testing.assert_array_equal(decoded(PICTURE, transparency=(0, 0, 0)), COLOURS)


def test_cmyk() -> None:
    cmyk = PICTURE.convert("CMYK")
    assert np.abs(decoded(cmyk, "JPEG", quality=100) - COLOURS).mean() < 2.0
    np.testing.assert_array_equal(decoded(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB")))


def test_lab_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"L\*a\*b\*; expected RGB or grey"):
        decoded(Image.merge("LAB", PICTURE.split()), "TIFF")


@pytest.mark.parametrize(
    ("highest", "shift"), [(255, 0), (256, 1), (1023, 2), (4095, 4), (10_000, 6), (32_767, 7), (32_768, 8), (65_535, 8)]
)
def test_sixteen_bits_are_shifted_until_the_maximum_fits(highest: int, shift: int) -> None:
    values = np.linspace(0, highest, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    expected = (values >> shift)[:, :, None].repeat(3, axis=2)
    assert expected.max() <= 255
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decoded(Image.fromarray(values), kind), expected)
    colours = np.stack([values, values[::-1], values // 2], axis=2)
    result = np.asarray(decode_image(deep_png(colours), Limits()))
    np.testing.assert_array_equal(result, colours >> shift)


def test_eight_bits_widened_to_sixteen_come_back_as_they_were() -> None:
    wide = COLOURS.astype(np.uint16) * 257
    np.testing.assert_array_equal(np.asarray(decode_image(deep_png(wide), Limits())), COLOURS)
    with_alpha = np.concatenate([wide, np.full((*wide.shape[:2], 1), 9, np.uint16)], axis=2)
    np.testing.assert_array_equal(np.asarray(decode_image(deep_png(with_alpha), Limits())), COLOURS)
    grey_alpha = with_alpha[:, :, [0, 3]]
    result = np.asarray(decode_image(deep_png(grey_alpha), Limits()))
    np.testing.assert_array_equal(result, COLOURS[:, :, [0, 0, 0]])


def test_integers_of_32_bits() -> None:
    values = np.linspace(-5000, 2**20 - 1, 64 * 64).round().astype(np.int32).reshape(64, 64)
    result = decoded(Image.fromarray(values), "TIFF")
    np.testing.assert_array_equal(result[:, :, 1], np.maximum(values, 0) >> 12)


def test_fractions_are_reflectances() -> None:
    values = np.linspace(-0.1, 1.2, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[0, :4] = [np.nan, np.inf, -np.inf, 0.5]
    expected = np.floor(np.clip(values, 0, 1) * 255 + 0.5)
    expected[0, :3] = 0
    np.testing.assert_array_equal(decoded(Image.fromarray(values), "TIFF")[:, :, 0], expected)


@pytest.mark.parametrize(("highest", "divisor"), [(200.7, 1), (255.9, 1), (256.0, 2), (10_000.0, 64), (3e38, 2.0**120)])
def test_other_floats_are_taken_as_integers(highest: float, divisor: float) -> None:
    values = np.linspace(0, highest, 64 * 64, dtype=np.float32).reshape(64, 64)
    expected = np.floor(values.astype(np.float64) / divisor)
    assert expected.max() <= 255
    np.testing.assert_array_equal(decoded(Image.fromarray(values), "TIFF")[:, :, 2], expected)


def test_all_black() -> None:
    for image in (Image.new("I;16", (64, 64)), Image.new("F", (64, 64)), Image.new("I", (64, 64))):
        assert not decoded(image, "TIFF").any()
    assert not np.asarray(decode_image(deep_png(np.zeros((64, 64, 3), np.uint16)), Limits())).any()


def test_the_result_carries_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "private"
    image = decode_image(made_inputs.encoded(PICTURE, "JPEG", exif=exif, dpi=(72, 72)), Limits())
    assert image.info == {}
    again = io.BytesIO()
    image.save(again, "JPEG")
    assert b"private" not in again.getvalue()
    assert Image.open(again).getexif().get(0x0112) is None
