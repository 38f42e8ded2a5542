"""Samples of places and recordings that a model can learn to pair: one colour, one pitch, one caption."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from sat2sound.data.samples import Sample, read_encoded
from sat2sound.preprocessing import Metadata

KINDS = (("waves on a beach", 200.0), ("birds in a wood", 3000.0), ("traffic on a road", 800.0))


@dataclass(frozen=True)
class MadePairs:
    """A table of samples. bad: rows whose image cannot be read. captions: whether there are any."""

    count: int = 24
    seed: int = 0
    bad: frozenset[int] = frozenset()
    captions: bool = True

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        sample = _made(self.seed, index, index in self.bad)
        return sample if self.captions else replace(sample, audio_caption=None, image_caption=None)

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


def write_table(folder: Path, *, train: int = 24, val: int = 9) -> Path:
    """The same as a folder of one's own data: samples.csv, images and recordings."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["id,image,audio,audio_caption,image_caption,latitude,longitude,date,split"]
    for split, samples in (("train", MadePairs(train)), ("val", MadePairs(val, seed=5))):
        for index, sample in enumerate(samples):
            name = f"{split}-{index}"
            (folder / f"{name}.png").write_bytes(read_encoded(sample.image or b""))
            (folder / f"{name}.wav").write_bytes(read_encoded(sample.audio or b""))
            place, month = sample.metadata.latitude, sample.metadata.month
            words = f"{sample.audio_caption},{sample.image_caption or ''}"
            lines.append(f"{name},{name}.png,{name}.wav,{words},{place},20.0,2020-{month:02d}-01,{split}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
