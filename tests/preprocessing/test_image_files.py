"""Hostile structures are refused at once: the limits hold before a decoder sees the file."""

from __future__ import annotations

import struct
import time
import zlib

import made_inputs
import pytest
from PIL import Image

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import Limits, decode_image
from sat2sound.preprocessing.image_files import count_jpeg_scans, image_format

PICTURE = made_inputs.picture()
JPEG = made_inputs.encoded(PICTURE, "JPEG", quality=80)
PROGRESSIVE = made_inputs.encoded(PICTURE, "JPEG", progressive=True)
PNG = made_inputs.encoded(PICTURE)


def png_chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def webp(kind: bytes, content: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_formats(kind: str) -> None:
    assert image_format(made_inputs.encoded(PICTURE, kind)) == kind


@pytest.mark.parametrize("kind", ["GIF", "BMP", "PPM", "ICO", "JPEG2000", "PDF", "EPS", "TGA", "PCX", "SGI"])
def test_other_formats_of_pillow_are_out_of_reach(kind: str) -> None:
    data = made_inputs.encoded(PICTURE, kind)
    with pytest.raises(InvalidInput, match="not an image that can be read"):
        decode_image(data, Limits())


def test_scans() -> None:
    assert count_jpeg_scans(JPEG) == 1
    assert count_jpeg_scans(PROGRESSIVE) == 10  # libjpeg's standard script for colours
    # what follows the end of the first image (previews, videos of telephones) does not count
    assert count_jpeg_scans(JPEG + PROGRESSIVE) == 1
    # nor does a preview in the metadata before it
    preview = b"\xff\xe1" + struct.pack(">H", 2 + len(JPEG[:60000])) + JPEG[:60000]
    assert count_jpeg_scans(JPEG[:2] + preview + JPEG[2:]) == 1


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a million PNG chunks": (PNG[:33] + png_chunk(b"prVt") * 1_000_000 + PNG[33:], "more than 20,000 chunks"),
    "a million empty data chunks": (PNG[:33] + png_chunk(b"IDAT") * 1_000_000 + PNG[33:], "more than 20,000 chunks"),
    "a million JPEG segments": (JPEG[:2] + b"\xff\xe0\0\2" * 1_000_000 + JPEG[2:], "more than 20,000 segments"),
    "JPEG markers without length": (JPEG[:2] + b"\xff\x01" * 1_000_000 + JPEG[2:], "more than 20,000 segments"),
    "30 MB between JPEG segments": (
        JPEG[:2] + b"\xff\xfe\0\2" + b"a" * 30_000_000 + JPEG[2:],
        "bytes between segments",
    ),
    "padding between JPEG segments": (JPEG[:2] + b"\xff" * 30_000_000 + JPEG[2:], "bytes between segments"),
    "WebP canvas": (webp(b"VP8X", bytes(4) + b"\xff\x3f\0\xff\x3f\0"), "16384 x 16384 pixels"),
    "lossless WebP": (webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(8)), "16384 x 16384 pixels"),
    "lossy WebP": (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"), "16383 x 16383 pixels"),
    "WebP header only": (webp(b"VP8X", b""), "the header is cut off"),
    "PNG of 60,000 x 60,000": (made_inputs.png(60_000, 60_000, data=bytes(60_001)), "60000 x 60000 pixels"),
    "PNG without width": (made_inputs.png(0, 100), "0 x 100 pixels|damaged"),
    "PNG of 2^31 x 2^31": (made_inputs.png(2**31 - 1, 2**31 - 1), "2147483647 x 2147483647 pixels"),
    "text that inflates": (
        made_inputs.png(64, 64, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(60_000_000))), data=bytes(65 * 64)),
        "damaged or incomplete",
    ),
    "colour profile that inflates": (
        made_inputs.png(64, 64, (b"iCCP", b"p\0\0" + zlib.compress(bytes(60_000_000))), data=bytes(65 * 64)),
        "damaged or incomplete",
    ),
}


@pytest.mark.parametrize(("data", "said"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_structures_are_refused_at_once(data: bytes, said: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidInput, match=said):
        decode_image(data, Limits())
    assert time.process_time() - started < 1.0


def test_scan_bomb() -> None:
    blank = made_inputs.encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    scan = blank[blank.rfind(b"\xff\xda") : -2]
    bomb = blank[:-2] + scan * 2000 + b"\xff\xd9"
    started = time.process_time()
    with pytest.raises(InvalidInput, match=r"2006 scans of 4000 x 4000 pixels"):
        decode_image(bomb, Limits())
    assert time.process_time() - started < 1.0
    assert decode_image(blank, Limits()).size == (4000, 4000)


def test_an_inflating_image_is_no_bomb_within_the_limit() -> None:
    data = made_inputs.png(2000, 2000, data=bytes(2001 * 2000))
    assert len(data) < 6000
    assert decode_image(data, Limits()).size == (2000, 2000)
    with pytest.raises(InvalidInput, match="expected at most 1,000,000 pixels"):
        decode_image(data, Limits(max_image_pixels=1_000_000))
    # data for a thousand more rows are not inflated either
    assert decode_image(made_inputs.png(64, 64, data=bytes(65 * 64_000)), Limits()).size == (64, 64)
