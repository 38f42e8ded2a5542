"""Images and recordings that tests make themselves."""

from __future__ import annotations

import io
import struct
import zlib

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
