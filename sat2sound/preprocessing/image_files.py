"""What kind of image file it is, and whether its structure is that of an honest one.

A small file can keep a decoder busy for minutes or fill the memory: millions of empty chunks, thousands of progressive
scans, a canvas of 16,000 pixels squared. All of it shows in the structure, which is cheap to read without decoding.
"""

from __future__ import annotations

import re

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.limits import Limits

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})  # of the files that are looked for in folders
EXPECTED = "one JPEG, PNG, WebP or TIFF image"
_SIGNATURES = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF....WEBPVP8[ LX]", re.DOTALL)),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
)

# Encoders write a few dozen segments (JPEG) or one chunk per 4 KiB at the least (PNG).
_MOST_PARTS = 20_000
_MOST_JUNK = 65_536  # bytes between JPEG segments, which decoders skip one by one
# Each progressive scan passes over the whole image; encoders write about ten.
_SCANS_OF_THE_LARGEST_IMAGE = 16
# A marker is 0xFF and a byte other than 0 (a stuffed 0xFF), 0xD0..0xD7 (restart), 0xFF (padding).
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_WITH_LENGTH = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE} - {0xC8})


def image_format(data: bytes) -> str:
    """JPEG, PNG, WEBP or TIFF, by the first bytes. Raises InvalidInput for anything else."""
    for name, signature in _SIGNATURES:
        if signature.match(data):
            return name
    raise InvalidInput(
        f"the bytes are not an image that can be read (they start with {data[:8]!r})",
        expected=EXPECTED,
        fix="send the bytes of such a file; convert other formats first",
    )


def damaged(reason: str) -> InvalidInput:
    """The error for a file of a known format that cannot be decoded."""
    return InvalidInput(
        f"the image is damaged or incomplete ({reason[:120]})",
        expected=EXPECTED,
        fix="check that the whole file was sent and that a viewer opens it, or save it again as 8-bit RGB",
    )


def check_dimensions(width: int, height: int, limits: Limits) -> None:
    """Raise InvalidInput for images that are too large to decode or too small to show anything."""
    if width * height > limits.max_image_pixels:
        raise InvalidInput(
            f"the image has {width} x {height} pixels",
            expected=f"at most {limits.max_image_pixels:,} pixels",
            fix="crop the place of interest, or have the server's SAT2SOUND_MAX_IMAGE_PIXELS raised",
        )
    if min(width, height) < limits.min_image_side:
        raise InvalidInput(
            f"the image has {width} x {height} pixels",
            expected=f"at least {limits.min_image_side} pixels on each side",
            fix="send an image that shows the place: about 77 metres across for the aerial type",
        )


def check_png(data: bytes) -> None:
    """Raise InvalidInput for more chunks than an encoder would write."""
    position = 8
    for _ in range(_MOST_PARTS):
        if position >= len(data) or data[position + 4 : position + 8] == b"IEND":
            return
        position += 12 + int.from_bytes(data[position : position + 4], "big")  # length, name, content, checksum
    raise damaged(f"more than {_MOST_PARTS:,} chunks")


def check_webp(data: bytes, limits: Limits) -> None:
    """Raise InvalidInput for a canvas out of `limits`: the decoder allocates it when it is opened."""
    kind, content = data[12:16], data[20:30]
    if len(content) < 10:
        raise damaged("the header is cut off")
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(content[at : at + 3], "little") for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(content[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    check_dimensions(width, height, limits)


def count_jpeg_scans(data: bytes) -> int:
    """Passes over the image: 1 unless progressive. Raises InvalidInput for more segments than encoders write."""
    position = 2
    scans = parts = junk = 0
    while found := _JPEG_MARKER.search(data, position):
        marker = found[1][0]
        parts += 1
        junk += 0 if scans else found.start() - position
        if parts > _MOST_PARTS or junk > _MOST_JUNK:
            raise damaged(f"more than {_MOST_PARTS:,} segments" if parts > _MOST_PARTS else "bytes between segments")
        if marker == _JPEG_END and scans:
            break
        position = found.end()
        if marker in _JPEG_WITH_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
        scans += marker == _JPEG_SCAN
    return scans


def check_scans(scans: int, width: int, height: int, limits: Limits) -> None:
    """Raise InvalidInput for more progressive scans than a JPEG of this size has."""
    if scans * width * height > _SCANS_OF_THE_LARGEST_IMAGE * limits.max_image_pixels:
        raise damaged(f"{scans} scans of {width} x {height} pixels")
