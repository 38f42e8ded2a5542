"""Images and recordings that tests make themselves."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from sat2sound.clients.sample_scene import sample_scene


def picture(seed: int = 20) -> Image.Image:
    """A synthetic scene of its own for each seed."""
    return Image.fromarray(sample_scene(seed))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], data: bytes = b"") -> bytes:
    """A PNG file whose header promises so many grey pixels, whatever its data hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def recording(seconds: float, rate: int = 16_000, kind: str = "WAV") -> bytes:
    """Pink-ish noise with a tone."""
    count = round(seconds * rate)
    noise = np.random.Generator(np.random.PCG64(3)).standard_normal(count)
    tone = np.sin(np.arange(count) * 2 * np.pi * 440 / rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, (0.1 * noise + 0.2 * tone).astype(np.float32), rate, format=kind)
    return buffer.getvalue()


def image_files(folder: Path, count: int) -> list[Path]:
    """Scenes of several sizes and kinds of file."""
    kinds = (("PNG", 256), ("JPEG", 300), ("WEBP", 200), ("TIFF", 700), ("JPEG", 1000))
    paths = []
    for seed in range(count):
        kind, side = kinds[seed % len(kinds)]
        paths.append(folder / f"{seed}.{kind.lower()}")
        paths[-1].write_bytes(encoded(picture(seed).resize((side, side + 7 * (seed % 3))), kind))
    return paths


def recording_files(folder: Path) -> list[Path]:
    """Recordings of several lengths, rates and kinds of file."""
    paths = []
    for seconds, rate, kind in (
        (2.0, 16_000, "WAV"),
        (10.0, 32_000, "FLAC"),
        (14.0, 44_100, "OGG"),
        (3.0, 48_000, "MP3"),
    ):
        paths.append(folder / f"{rate}.{kind.lower()}")
        paths[-1].write_bytes(recording(seconds, rate, kind))
    return paths
