"""The one thing that every dataset reader gives: samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sat2sound.preprocessing.metadata import Metadata

Encoded = bytes | Path  # the content of an image or audio file, or where it lies: read only when it is needed


@dataclass(frozen=True)
class Sample:
    """One place, or one part of it: None is what the dataset does not have. A dataset is an iterable of samples.

    id: unique within the dataset. image, audio: encoded files. audio_caption, image_caption: what is heard, in words
    (written for the recording, or by a vision-language model for the image). scene: what the image shows, e.g.
    "runway". group: scenes and sounds that belong together, e.g. "airport". metadata: place, time and sources.
    """

    id: str
    image: Encoded | None = None
    audio: Encoded | None = None
    audio_caption: str | None = None
    image_caption: str | None = None
    scene: str | None = None
    group: str | None = None
    metadata: Metadata = field(default_factory=Metadata)


def read_encoded(file: Encoded) -> bytes:
    """The bytes of an image or audio file. Raises OSError."""
    return file if isinstance(file, bytes) else file.read_bytes()
