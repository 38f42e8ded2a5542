"""Samples of places and recordings that a model can learn to pair: one colour, one pitch, one caption."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soundfile
from PIL import Image

from sat2sound.data.samples import Sample
from sat2sound.preprocessing import Metadata

KINDS = (("waves on a beach", 200.0), ("birds in a wood", 3000.0), ("traffic on a road", 800.0))


@dataclass(frozen=True)
class MadePairs:
    """A table of samples. bad: rows whose image cannot be read."""

    count: int = 24
    seed: int = 0
    bad: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        return _made(self.seed, index, index in self.bad)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(self.count))


@lru_cache(maxsize=256)
def _made(seed: int, index: int, bad: bool) -> Sample:
    random = np.random.default_rng([seed, index])
    kind = index % len(KINDS)
    caption, hertz = KINDS[kind]
    colour = np.zeros((320, 320, 3), np.uint8)
    colour[..., kind] = 200
    colour += random.integers(0, 40, colour.shape, dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(colour).save(picture, "PNG")
    time = np.arange(32_000 * 2) / 32_000
    sound = io.BytesIO()
    tone = 0.3 * np.sin(2 * np.pi * hertz * time) + random.normal(0, 0.01, len(time))
    soundfile.write(sound, tone.astype(np.float32), 32_000, format="WAV")
    return Sample(
        id=f"sample-{index}",
        image=b"no image" if bad else picture.getvalue(),
        audio=sound.getvalue(),
        audio_caption=caption,
        image_caption=None if index % 5 == 4 else caption,
        metadata=Metadata(latitude=10.0 + index, longitude=20.0, month=1 + index % 12, hour=None),
    )
