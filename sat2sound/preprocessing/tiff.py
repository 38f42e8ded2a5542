"""The first directory of a TIFF: checked before the decoder sees it, and mended where GeoTIFF writers leave it vague.

TIFF 6.0 (Adobe, 1992), BigTIFF and GDAL's no-data tag. Numbers are tags of that specification.
"""

from __future__ import annotations

import math
import struct
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.image_files import check_dimensions, damaged
from sat2sound.preprocessing.limits import Limits

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, STRIP_BYTES, PLANAR = 273, 277, 279, 284
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, NO_DATA = 338, 339, 42113

_TYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}  # the unsigned integers
_ASCII, _SHORT = 2, 3
_SAMPLE_FORMATS = {1: "unsigned integers", 2: "signed integers", 3: "floating point"}
_UNCOMPRESSED, _SEPARATE = 1, 2
# none, LZW, JPEG, deflate (two numbers), PackBits, Zstandard; fax, old JPEG and other niches stay unreachable
_COMPRESSIONS = {1, 5, 7, 8, 32946, 32773, 50000}
_MOST_ENTRIES, _MOST_BLOCKS, _MOST_TILE_PIXELS = 4_096, 65_536, 4_096 * 4_096
_GREYS, _RGB = (0, 1), 2
_NATIVE = "<" if sys.byteorder == "little" else ">"


@dataclass(frozen=True)
class PreparedTiff:
    """data: the file, mended. no_data: the value that GDAL's tag says stands for "nothing here", or None."""

    data: bytes
    no_data: float | None


class _Directory:
    """Entries of the first directory. Raises InvalidInput (damaged) where they contradict the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:1] == b"I" else ">"
        self.big = data[2:4] in (b"+\0", b"\0+")
        header, count, self.entry = ("Q", "Q", "HHQQ") if self.big else ("L", "H", "HHLL")
        try:
            (start,) = struct.unpack_from(self.order + header, data, 8 if self.big else 4)
            (entries,) = struct.unpack_from(self.order + count, data, start)
        except (struct.error, OverflowError):
            raise damaged("no directory where the header says") from None
        self.size = struct.calcsize(self.order + self.entry)
        first = start + struct.calcsize(count)
        if entries > _MOST_ENTRIES or first + entries * self.size > len(data):
            raise damaged(f"a directory of {entries:,} entries")
        self.positions: dict[int, int] = {}
        for position in range(first, first + entries * self.size, self.size):
            tag = self._unpack(position)[0]
            if tag in self.positions:
                raise damaged(f"tag {tag} comes twice")
            self.positions[tag] = position

    def _unpack(self, position: int) -> tuple[int, int, int, int]:
        tag, kind, count, value = struct.unpack_from(self.order + self.entry, self.data, position)
        return tag, kind, count, value

    def count(self, tag: int) -> int:
        """How many values the tag has, 0 if it is absent."""
        return self._unpack(self.positions[tag])[2] if tag in self.positions else 0

    def content(self, tag: int, width: int) -> bytes:
        """The tag's values as bytes, each of so many bytes."""
        position = self.positions[tag]
        _, _, count, offset = self._unpack(position)
        inline = 8 if self.big else 4
        begin = offset if count * width > inline else position + self.size - inline
        content = self.data[begin : begin + count * width]
        if len(content) < count * width:
            raise damaged(f"tag {tag} reaches beyond the end")
        return content

    def numbers(self, tag: int) -> npt.NDArray[np.uint64]:
        """The values of a tag of unsigned integers, empty if it is absent."""
        if tag not in self.positions:
            return np.zeros(0, np.uint64)
        kind = self._unpack(self.positions[tag])[1]
        if kind not in _TYPES:
            raise damaged(f"tag {tag} has values of type {kind}")
        values = np.dtype(_TYPES[kind]).newbyteorder(self.order)  # type: ignore[arg-type]
        return np.frombuffer(self.content(tag, values.itemsize), values).astype(np.uint64)

    def number(self, tag: int, default: int = 0) -> int:
        """The first value of a tag."""
        values = self.numbers(tag)
        return int(values[0]) if len(values) else default

    def with_shorts(self, changes: dict[int, tuple[int, int]]) -> bytes:
        """The file with some tags overwritten: tag -> (count 0 or 1, value)."""
        mended = bytearray(self.data)
        for tag, (count, value) in changes.items():
            if tag in self.positions:
                values = struct.pack(self.order + "H", value).ljust(8 if self.big else 4, b"\0")
                head = struct.pack(self.order + self.entry[:3], tag, _SHORT, count)
                position = self.positions[tag]
                mended[position : position + self.size] = head + values
        return bytes(mended)


def prepare_tiff(data: bytes, limits: Limits) -> PreparedTiff:
    """Check the first image's layout, and say "red, green, blue" where a 3- or 4-band file says nothing.

    Remote sensing tools write bands of no stated colour; those are taken in the order red, green, blue, near infrared.
    Raises InvalidInput for layouts that would exhaust memory or time, or whose colours would be guesswork.
    """
    directory = _Directory(data)
    check_dimensions(directory.number(WIDTH), directory.number(HEIGHT), limits)
    _check_blocks(directory)
    samples, photometric = directory.number(SAMPLES, 1), directory.number(PHOTOMETRIC)
    changes: dict[int, tuple[int, int]] = {}
    if photometric in (*_GREYS, _RGB):
        _check_bands(directory, samples, photometric)
        if samples == 1:
            changes[PLANAR] = (1, 1)  # "separate" means nothing for one band, but the decoder stumbles over it
        elif samples >= 3 and photometric != _RGB:
            changes |= {PHOTOMETRIC: (1, _RGB), EXTRA_SAMPLES: (samples - 3, 0)}
    return PreparedTiff(directory.with_shorts(changes) if changes else data, _no_data(directory))


def _check_blocks(directory: _Directory) -> None:
    compression = directory.number(COMPRESSION, _UNCOMPRESSED)
    if compression not in _COMPRESSIONS:
        raise InvalidInput(
            f"the TIFF's compression ({compression}) is not accepted",
            expected="none, LZW, deflate, JPEG, PackBits or Zstandard",
            fix="save it again with one of these, e.g. gdal_translate -co COMPRESS=DEFLATE",
        )
    tiled = TILE_OFFSETS in directory.positions
    if directory.count(TILE_OFFSETS if tiled else STRIP_OFFSETS) > _MOST_BLOCKS:
        raise damaged(f"more than {_MOST_BLOCKS:,} strips or tiles")
    if tiled and directory.number(TILE_WIDTH) * directory.number(TILE_HEIGHT) > _MOST_TILE_PIXELS:
        raise damaged("tiles of more than 4,096 x 4,096 pixels")
    if compression != _UNCOMPRESSED:
        tag = TILE_BYTES if tiled else STRIP_BYTES
        if not 0 < directory.count(tag) <= _MOST_BLOCKS:
            raise damaged("it does not say how long its strips or tiles are")
        # blocks that share the same bytes would have them decompressed over and over
        if float(directory.numbers(tag).sum(dtype=np.float64)) > 2 * len(directory.data):
            raise damaged("its strips or tiles are longer than the file")


def _check_bands(directory: _Directory, samples: int, photometric: int) -> None:
    """Refuse what the decoder would refuse without a reason, or would decode wrongly."""
    bits, kind = directory.number(BITS, 1), directory.number(SAMPLE_FORMAT, 1)
    if samples > (6 if photometric == _RGB and bits == 8 else 4):
        raise InvalidInput(
            f"the TIFF has {samples} bands of {bits} bits",
            expected="1 band, or 3 or 4 in the order red, green, blue, near infrared",
            fix="write these bands to a file of their own, e.g. gdal_translate -b 4 -b 3 -b 2 for Sentinel-2",
        )
    compressed = directory.number(COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED
    numbers = f"{bits}-bit {_SAMPLE_FORMATS.get(kind, 'numbers')}"
    if samples > 1 and (bits not in ((8, 16) if samples > 2 else (8,)) or kind != 1):
        raise InvalidInput(
            f"the TIFF has {samples} bands of {numbers}",
            expected="bands of unsigned integers: 8-bit, or 16-bit if there are 3 or 4",
            fix="scale it to 8 bits, e.g. gdal_translate -ot Byte -scale",
        )
    separate = samples > 1 and directory.number(PLANAR, 1) == _SEPARATE
    if separate and (bits != 8 or not (compressed or samples == 3)):
        raise InvalidInput(
            f"the TIFF stores {samples} bands of {numbers} one after another",
            expected="bands interleaved by pixel",
            fix="save it again, e.g. gdal_translate -co INTERLEAVE=PIXEL",
        )
    if compressed and directory.order != _NATIVE and (bits == 32 or (bits == 16 and kind != 1)):
        raise InvalidInput(
            f"the TIFF has compressed {numbers} in the other byte order",
            expected=f"{sys.byteorder}-endian numbers, or no compression",
            fix="save it again, e.g. gdal_translate -co ENDIANNESS=LITTLE",
        )


def _no_data(directory: _Directory) -> float | None:
    if NO_DATA not in directory.positions or directory.count(NO_DATA) > 64:
        return None
    text = directory.content(NO_DATA, 1).split(b"\0")[0]
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
