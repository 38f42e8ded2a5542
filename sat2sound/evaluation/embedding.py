"""A dataset through a backend: all images, recordings and captions embedded; what cannot be used is listed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sat2sound.data.samples import Encoded, Sample, read_encoded
from sat2sound.errors import DatasetError
from sat2sound.evaluation.backends import Backend, Embedded
from sat2sound.evaluation.ranks import Embeddings
from sat2sound.preprocessing.metadata import Metadata

CHUNK = 32  # samples whose files are in memory at a time
MAX_SKIPPED_SHARE = 0.02
LISTED = 20  # skipped parts that an error message names
PARTS = ("image", "audio", "audio_caption", "image_caption")

Progress = Callable[[int], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Skipped:
    """A part of a sample that could not be used. part: one of PARTS."""

    id: str
    part: str
    reason: str


@dataclass
class EmbeddedSamples:
    """Embeddings per part, row i of each belonging to sample i; rows of NaN where a sample has no such part.

    parts: name -> float32 [n, D]. given: how many samples have that part; embedded or skipped.
    """

    ids: list[str] = field(default_factory=list)
    scenes: list[str | None] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    parts: dict[str, Embeddings] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    skipped: list[Skipped] = field(default_factory=list)

    def known(self, *parts: str) -> npt.NDArray[np.bool_]:
        """bool [n]: which samples have all of these parts embedded."""
        known = np.ones(len(self.ids), dtype=np.bool_)
        for part in parts:
            known &= np.isfinite(self.parts[part]).all(axis=1)
        return known


def embed_samples(
    samples: Iterable[Sample],
    backend: Backend,
    *,
    with_metadata: bool = True,
    max_skipped_share: float = MAX_SKIPPED_SHARE,
    progress: Progress = lambda count: None,
) -> EmbeddedSamples:
    """Embed all parts of all samples, a chunk at a time.

    with_metadata: whether place, time and sources are given to the satellite branch. progress: called with the number
    of samples that are done since the last call. Raises DatasetError: no samples, an id that occurs twice, or more than
    max_skipped_share of the images or of the recordings (or captions) could not be used.
    """
    found = EmbeddedSamples()
    rows: dict[str, list[tuple[int, Embeddings]]] = {part: [] for part in PARTS}
    for chunk in _chunks(samples, CHUNK):
        start = len(found.ids)
        found.ids += [sample.id for sample in chunk]
        found.scenes += [sample.scene for sample in chunk]
        found.groups += [sample.group for sample in chunk]
        images = _read(chunk, "image", found)
        metadata = [chunk[at].metadata if with_metadata else Metadata() for at, _ in images]
        recordings = _read(chunk, "audio", found)
        answers: list[tuple[str, list[int], Embedded]] = []
        if images:
            pictured = backend.images([file for _, file in images], metadata, chunk[images[0][0]].satellite)
            answers.append(("image", [at for at, _ in images], pictured))
        if recordings:
            heard = backend.recordings([file for _, file in recordings])
            answers.append(("audio", [at for at, _ in recordings], heard))
        for part in ("audio_caption", "image_caption"):
            if texts := _texts(chunk, part, found):
                answers.append((part, [at for at, _ in texts], backend.texts([text for _, text in texts])))
        for part, places, answered in answers:
            rows[part] += _rows(answered, places, start, part, found)
        progress(len(chunk))
    _check(found, max_skipped_share)
    width = max(len(row) for of_part in rows.values() for _, row in of_part)
    for part, of_part in rows.items():
        table = np.full((len(found.ids), width), np.nan, np.float32)
        for at, row in of_part:
            table[at] = row
        found.parts[part] = table
    return found


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _read(chunk: Sequence[Sample], part: str, found: EmbeddedSamples) -> list[tuple[int, bytes]]:
    """Files of one part with their places in the chunk; those that cannot be read are skipped."""
    read = []
    for at, sample in enumerate(chunk):
        file: Encoded | None = getattr(sample, part)
        if file is None:
            continue
        found.given[part] += 1
        try:
            read.append((at, read_encoded(file)))
        except OSError as error:
            found.skipped.append(Skipped(sample.id, part, f"cannot be read: {error.strerror or error}"))
    return read


def _texts(chunk: Sequence[Sample], part: str, found: EmbeddedSamples) -> list[tuple[int, str]]:
    """Captions that say something, with their places in the chunk: an empty one counts as missing."""
    given = [(at, text) for at, sample in enumerate(chunk) if (text := (getattr(sample, part) or "").strip())]
    found.given[part] += len(given)
    return given


def _rows(
    answered: Embedded, places: Sequence[int], start: int, part: str, found: EmbeddedSamples
) -> list[tuple[int, Embeddings]]:
    """The rows that can be used, by their place in the dataset. A NaN is a fault of the model, and is told as such."""
    rows = []
    for index, place in enumerate(places):
        if index in answered.refused:
            reason = answered.refused[index]
        elif not np.isfinite(answered.embeddings[index]).all():
            reason = "its embedding is not finite: the model overflowed"
        else:
            rows.append((start + place, answered.embeddings[index]))
            continue
        found.skipped.append(Skipped(found.ids[start + place], part, reason))
    return rows


def _check(found: EmbeddedSamples, max_skipped_share: float) -> None:
    if not found.ids:
        raise DatasetError("the split is empty: no samples", fix="choose another split")
    repeated = len(found.ids) - len(set(found.ids))
    if repeated:
        raise DatasetError(f"{repeated} samples have an id that occurred before", fix="give each sample its own id")
    if not any(found.given.values()):
        raise DatasetError("no sample has an image, a recording or a caption", fix="check the dataset's columns")
    for part, given in found.given.items():
        skipped = [entry for entry in found.skipped if entry.part == part]
        if skipped and (len(skipped) > max_skipped_share * given or len(skipped) == given):
            listed = "\n  ".join(f"{entry.id}: {entry.reason}" for entry in skipped[:LISTED])
            more = f"\n  and {len(skipped) - LISTED} more" if len(skipped) > LISTED else ""
            raise DatasetError(
                f"{len(skipped)} of {given} {part.replace('_', ' ')} entries cannot be used:\n  {listed}{more}\n"
                f"more than {max_skipped_share:.1%}, or all, of them",
                fix="mend or remove them, or allow a larger share with --max-skipped",
            )
