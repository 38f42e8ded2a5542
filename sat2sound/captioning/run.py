"""A captioning run: every image at every zoom level, once, whatever interrupts it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sat2sound.captioning.captioner import MAX_NEW_TOKENS, PROMPT, Answer, Captioner
from sat2sound.captioning.journal import Journal, Key
from sat2sound.captioning.output import caption_column, check_output, write_captions
from sat2sound.captioning.rows import Row, Wanted, read_rows
from sat2sound.data.samples import read_encoded
from sat2sound.errors import DatasetError, InvalidInput
from sat2sound.preprocessing import Limits, crop_tile, decode_image
from sat2sound.preprocessing.metadata import check_zoom_level
from sat2sound.satellite_types import SatelliteType

LEAST_COVER = 0.9  # of the crop's side: with more padding than that, the caption would be one of black borders
LISTED = 20
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Job:
    """What to caption and where to. source: a folder or file, or a dataset of the hub as OWNER/NAME. satellite: at
    whose native distance the images are. prefix: of column names. Others: see `Wanted`."""

    source: Path | str
    out: Path
    satellite: SatelliteType
    zoom_levels: tuple[int, ...] = (1, 3, 5)
    prefix: str = "llava_caption"
    image_column: str | None = None
    id_column: str | None = None
    split: str | None = None
    prompt: str = PROMPT

    def __post_init__(self) -> None:
        check_output(self.out)
        for zoom_level in self.zoom_levels:
            check_zoom_level(zoom_level)
        if not self.zoom_levels or len(set(self.zoom_levels)) < len(self.zoom_levels):
            raise InvalidInput(
                f"zoom levels are {list(self.zoom_levels)}", expected="at least one, each once", fix="e.g. 1, 3 and 5"
            )

    def rows(self) -> Iterator[Row]:
        """See `read_rows`."""
        return read_rows(self.source, Wanted(self.image_column, self.id_column, self.split, self.satellite.name))

    @property
    def journal(self) -> Path:
        """The file that holds what is done."""
        return self.out.with_name(f"{self.out.name}.journal")

    def settings(self, captioner: Captioner) -> dict[str, Any]:
        """What the captions depend on."""
        return {
            "source": str(Path(self.source).resolve() if Path(self.source).exists() else self.source),
            "split": self.split,
            "model": captioner.name,
            "prompt": self.prompt,
            "max_new_tokens": MAX_NEW_TOKENS,
            "satellite": self.satellite.name,
            "zoom_levels": list(self.zoom_levels),
            "image_column": self.image_column,
            "id_column": self.id_column,
        }


@dataclass(frozen=True)
class Summary:
    """rows: images. captions, failures: over all zoom levels; asked: how many of them this run asked the model for."""

    rows: int
    captions: int
    failures: dict[Key, str]
    asked: int


def run(
    job: Job, captioner: Captioner, *, retry_failed: bool = False, progress: Progress = lambda count: None
) -> Summary:
    """Caption what the journal does not have yet, then write the output file.

    retry_failed: also what failed in an earlier run. progress: called with the number of answers that became known.
    Raises DatasetError, CaptioningError or OSError; whatever was answered until then is kept for the next run.
    """
    asked = 0
    ids: list[str] = []
    with Journal(job.journal, job.settings(captioner)) as journal:
        before = {key for key, answer in journal.answers.items() if answer.caption is not None or not retry_failed}
        crops = _crops(job, before, ids, journal, progress)
        while batch := list(itertools.islice(crops, captioner.batch)):
            for index, answer in captioner.caption([image for _, image in batch]):
                journal.append(batch[index][0], answer)
                asked += 1
                progress(1)
        columns = {zoom: caption_column(job.prefix, job.satellite.name, zoom) for zoom in job.zoom_levels}
        write_captions(job.out, ids, columns, journal.answers, journal.settings)
        answers = {(own, zoom): journal.answers[own, zoom] for own in ids for zoom in job.zoom_levels}
    failures = {key: answer.failure for key, answer in answers.items() if answer.failure is not None}
    return Summary(len(ids), len(answers) - len(failures), failures, asked)


def check_failures(summary: Summary, max_share: float) -> None:
    """Raises DatasetError that lists them if too many captions, or all, failed."""
    total = summary.captions + len(summary.failures)
    if summary.failures and (len(summary.failures) > max_share * total or not summary.captions):
        listed = "\n  ".join(f"{own}, zoom level {zoom}: {why}" for (own, zoom), why in _first(summary.failures))
        raise DatasetError(
            f"{len(summary.failures)} of {total} captions failed:\n  {listed}\nmore than {max_share:.1%}, or all",
            fix="mend the causes and run again with --retry-failed, or allow a larger share with --max-failed",
        )


def _first(failures: dict[Key, str]) -> Iterator[tuple[Key, str]]:
    return itertools.islice(failures.items(), LISTED)


def _crops(
    job: Job, done: set[Key], ids: list[str], journal: Journal, progress: Progress
) -> Iterator[tuple[Key, Image.Image]]:
    """Crops that still need a caption; ids of all rows are noted, images that cannot be used recorded as failures."""
    for row in job.rows():
        ids.append(row.id)
        missing = [zoom for zoom in job.zoom_levels if (row.id, zoom) not in done]
        progress(len(job.zoom_levels) - len(missing))
        if not missing:
            continue
        for zoom, crop in _cut(row, missing, job.satellite):
            if isinstance(crop, Answer):
                journal.append((row.id, zoom), crop)
                progress(1)
            else:
                yield (row.id, zoom), crop


def _cut(row: Row, zoom_levels: Sequence[int], satellite: SatelliteType) -> Iterator[tuple[int, Image.Image | Answer]]:
    try:
        if row.image is None:
            raise DatasetError("the row has no image", fix="leave the row out")
        image = decode_image(read_encoded(row.image), Limits())
    except (OSError, InvalidInput, DatasetError) as error:
        yield from ((zoom, Answer(failure=f"{error}")) for zoom in zoom_levels)
        return
    for zoom in zoom_levels:
        side = zoom * satellite.tile_pixels
        if min(image.size) < LEAST_COVER * side:
            size = f"{image.width} x {image.height}"
            yield zoom, Answer(failure=f"the image is {size} pixels; zoom level {zoom} covers {side} x {side}")
        else:
            yield zoom, crop_tile(image, satellite, zoom)
