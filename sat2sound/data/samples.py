"""The one thing that every dataset reader gives: samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sat2sound.preprocessing.metadata import Metadata

Encoded = bytes | Path  # the content of an image or audio file, or where it lies: read only when it is needed


@dataclass(frozen=True)
class Sample:
    """One place, or one part of it: None is what the dataset does not have.

    id: unique within the dataset. image, audio: encoded files. log_mels: float32 [crops, 1, 1001, 64] in dB, crops of
    ten seconds that were computed before. audio_caption, image_caption: what is heard, in words (written for the
    recording, or by a vision-language model for the image at the zoom level that was chosen). image_captions: those of
    all zoom levels, where the dataset has several. scene: what the image shows, e.g. "runway". group: scenes and sounds
    that belong together, e.g. "airport". metadata: place, time and sources. satellite: name of the image's satellite
    type; None is the model's own. where: place in the dataset's files, for messages. problems: (field, reason) of what
    counts as missing because it cannot be used.
    """

    id: str
    image: Encoded | None = None
    audio: Encoded | None = None
    audio_caption: str | None = None
    image_caption: str | None = None
    scene: str | None = None
    group: str | None = None
    metadata: Metadata = field(default_factory=Metadata)
    log_mels: npt.NDArray[np.float32] | None = field(default=None, compare=False)
    image_captions: Mapping[int, str] = field(default_factory=dict)
    satellite: str | None = None
    where: str = ""
    problems: tuple[tuple[str, str], ...] = ()


class SampleTable(Protocol):
    """Samples in any order, each made when it is asked for. Can be pickled, for the workers of a data loader."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]: ...


def read_encoded(file: Encoded) -> bytes:
    """The bytes of an image or audio file. Raises OSError."""
    return file if isinstance(file, bytes) else file.read_bytes()
