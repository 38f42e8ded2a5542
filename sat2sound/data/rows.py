"""One row of a table as a sample, whatever is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sat2sound.contract import MEL_BINS, MEL_FRAMES
from sat2sound.data.caption_table import Captions, read_captions
from sat2sound.data.choice import Choice
from sat2sound.data.columns import Columns
from sat2sound.data.dates import read_date
from sat2sound.data.samples import Encoded, Sample
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.metadata import AUDIO_SOURCES, CAPTION_SOURCES, Metadata, check_location

# The date of a freesound recording is when it was uploaded: its hour says nothing (and was never trained with).
_SOURCES_WITHOUT_HOUR = frozenset({"freesound"})


@dataclass(frozen=True)
class RowReader:
    """Turns rows (column -> value) into samples. folder: what paths in the rows are relative to. captions: by id and
    zoom level, instead of those in the rows."""

    columns: Columns
    choice: Choice
    folder: Path
    captions: Captions | None = None

    @classmethod
    def of(cls, columns: Columns, choice: Choice, folder: Path) -> RowReader:
        """With the captions that were chosen. Raises DatasetError if they cannot be read."""
        captions = read_captions(choice.captions, columns.satellite) if choice.captions else None
        return cls(columns, choice, folder, captions)

    def sample(self, values: Mapping[str, Any], own: str, where: str = "") -> Sample:
        """The sample with the id `own`. Never raises for a bad value: it counts as missing, and the sample says so."""
        sample = _Row(self.columns, self.choice, self.folder, values, own).sample(where)
        if self.captions is None:
            return sample
        captions = self.captions.get(own, {})
        return replace(sample, image_captions=captions, image_caption=captions.get(self.choice.zoom_level))


@dataclass
class _Row:
    columns: Columns
    choice: Choice
    folder: Path
    values: Mapping[str, Any]
    own: str
    problems: list[tuple[str, str]] = field(default_factory=list)

    def sample(self, where: str) -> Sample:
        captions = {
            zoom: text
            for zoom, column in self.columns.image_captions.items()
            if (text := _text(self.values.get(column))) is not None
        }
        plain = self._text("image_caption")
        audio_caption, metadata = self._text("audio_caption"), self._metadata()
        chosen = self.choice.caption_sources
        if chosen is not None and metadata.caption_source not in chosen:
            audio_caption = None
        sample = Sample(
            self.own,
            image=self._file("image"),
            audio=self._file("audio"),
            audio_caption=audio_caption,
            image_caption=captions.get(self.choice.zoom_level, plain),
            scene=self._text("scene"),
            group=self._text("group"),
            metadata=metadata,
            log_mels=self._log_mels(),
            image_captions=captions,
            satellite=self.columns.satellite,
            where=where,
        )
        return replace(sample, problems=tuple(self.problems))

    def _value(self, what: str) -> Any:
        column = self.columns.by_field.get(what)
        return None if column is None else self.values.get(column)

    def _text(self, what: str) -> str | None:
        return _text(self._value(what))

    def _file(self, what: str) -> Encoded | None:
        """Bytes, a path, or a struct of both as the `datasets` library stores them."""
        value = self._value(what)
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return value or None
        path = _text(value)
        return self.folder / path if path else None

    def _metadata(self) -> Metadata:
        latitude, longitude = self._location()
        source = self._source("audio_source", AUDIO_SOURCES)
        if source is None and "audio_source" not in self.columns.by_field:
            # SoundingEarth has no column for it; published ids are source-key in both data sets
            source = next((known for known in AUDIO_SOURCES if self.own.startswith(f"{known}-")), None)
        written = self._value("date")
        moment = read_date(written)
        if moment.month is None and moment.hour is None and (text := _text(written)):
            self.problems.append(("date", f"{text[:40]!r} gives neither month nor hour"))
        hour = None if source in _SOURCES_WITHOUT_HOUR else moment.hour
        caption_source = self._source("caption_source", CAPTION_SOURCES)
        return Metadata(latitude, longitude, moment.month, hour, source, caption_source)

    def _location(self) -> tuple[float | None, float | None]:
        """Both coordinates in degrees, or neither."""
        found: list[float | None] = []
        for what in ("latitude", "longitude"):
            value = self._value(what)
            try:
                number = math.nan if value is None or not str(value).strip() else float(value)
            except (TypeError, ValueError):
                self.problems.append((what, f"{str(value)[:40]!r} is not a number"))
                return None, None
            found.append(None if math.isnan(number) else number)
        try:
            check_location(*found)
        except InvalidInput as error:
            self.problems.append(("latitude" if "latitude is" in error.problem else "longitude", error.problem))
            return None, None
        return found[0], found[1]

    def _source(self, what: str, known: Mapping[str, int]) -> str | None:
        name = self._text(what)
        spelt = {own.lower(): own for own in known}
        if name is not None and name.lower() not in spelt:
            self.problems.append(
                (what, f"unknown {what.replace('_', ' ')} {name[:40]!r}; known are {', '.join(known)}")
            )
        return spelt.get(name.lower()) if name else None

    def _log_mels(self) -> npt.NDArray[np.float32] | None:
        """float32 [crops, 1, 1001, 64]. All zeros stands for crops that could not be computed."""
        value = self._value("log_mels")
        if value is None:
            return None
        crops = np.asarray(value, dtype=np.float32)
        if crops.shape[-2:] == (MEL_BINS, MEL_FRAMES):
            crops = crops.swapaxes(-1, -2)
        if crops.ndim not in (3, 4) or crops.shape[-2:] != (MEL_FRAMES, MEL_BINS) or crops.size == 0:
            self.problems.append(("log_mels", f"shape {crops.shape}, expected (crops, 1, {MEL_FRAMES}, {MEL_BINS})"))
            return None
        crops = crops.reshape(-1, 1, MEL_FRAMES, MEL_BINS)
        usable: npt.NDArray[np.bool_] = np.isfinite(crops).all(axis=(1, 2, 3)) & (crops != 0).any(axis=(1, 2, 3))
        if not usable.all():
            self.problems.append(("log_mels", f"{int((~usable).sum())} of {len(usable)} crops are zero or not finite"))
        return crops[usable] if usable.any() else None


def _text(value: Any) -> str | None:
    """Text without white space around it; None if nothing is left, or for what is no text (NaN of pandas)."""
    return value.strip() or None if isinstance(value, str) else None
