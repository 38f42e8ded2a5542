"""Rows as samples: every field's value, and what counts as missing, with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published_shards import CROPS, GEOSOUND, SOUNDING_EARTH, geosound_row, sounding_earth_row

from sat2sound.data.choice import Choice
from sat2sound.data.columns import find_columns
from sat2sound.data.rows import RowReader
from sat2sound.data.samples import Sample
from sat2sound.preprocessing import Metadata


def read(choice: Choice | None = None, index: int = 1, **changed: Any) -> Sample:
    chosen = choice or Choice("bingmap", log_mels=True)
    reader = RowReader(find_columns(GEOSOUND, chosen, "GeoSound"), chosen, Path("/data"))
    row = geosound_row(index, **changed)
    return reader.sample(row, row["sample_id"], "row 1")


def test_a_row_of_geosound() -> None:
    sample, row = read(), geosound_row(1)
    assert (sample.id, sample.where, sample.satellite, sample.problems) == ("iNat-1", "row 1", "bingmap", ())
    assert sample.image == row["bingmap_image"]["bytes"]
    assert sample.audio == row["audio"]["bytes"]
    assert (sample.audio_caption, sample.image_caption) == ("sound number 1", "bingmap 1 at 1")
    assert sample.image_captions == {1: "bingmap 1 at 1", 3: "bingmap 1 at 3", 5: "bingmap 1 at 5"}
    assert sample.metadata == Metadata(41.5, -91.25, 5, 10, "iNat", "qwen")
    assert sample.log_mels is not None
    assert sample.log_mels.shape == CROPS
    assert float(sample.log_mels.max()) == -51.0


def test_a_row_of_soundingearth() -> None:
    chosen = Choice()
    reader = RowReader(find_columns(SOUNDING_EARTH, chosen, "SoundingEarth"), chosen, Path())
    row = sounding_earth_row(3)
    sample = reader.sample(row, row["sample_id"])
    assert (sample.satellite, sample.image) == ("googleEarth", row["googleearth_image"]["bytes"])
    assert sample.image_caption == "google 3"
    # It has no column for the source: the id begins with it.
    assert sample.metadata == Metadata(43.5, -93.25, 10, 23, "aporee", "meta")


def test_choices() -> None:
    far = read(Choice("sentinel", zoom_level=5, caption_sources=("meta", "pengi")))
    assert (far.image_caption, far.satellite) == ("sentinel 1 at 5", "sentinel")
    assert far.audio_caption is None  # this one is by qwen
    assert far.log_mels is None


@pytest.mark.parametrize("nothing", [None, "", "  ", float("nan")])
def test_missing_values_are_no_problem(nothing: Any) -> None:
    sample = read(
        source=nothing,
        audio_caption=nothing,
        audio_caption_source=nothing,
        llava_caption_bingmap_zl1=nothing,
        latitude=nothing,
        longitude=nothing,
        date=nothing,
    )
    assert (sample.audio_caption, sample.image_caption, sample.metadata) == (None, None, Metadata())
    assert sample.image_captions.keys() == {3, 5}
    assert sample.problems == ()
    empty = read(audio=None, bingmap_image={"bytes": None, "path": None}, mel_features=None)
    assert (empty.audio, empty.image, empty.log_mels, empty.problems) == (None, None, None, ())


@pytest.mark.parametrize(
    ("changed", "what", "reason"),
    [
        ({"latitude": 91.0}, "latitude", "latitude is 91"),
        ({"longitude": 181.0}, "longitude", "longitude is 181"),
        ({"longitude": None}, "longitude", "longitude"),
        ({"latitude": "north"}, "latitude", "'north' is not a number"),
        ({"source": "flickr"}, "audio_source", "unknown audio source 'flickr'; known are yfcc, iNat"),
        ({"audio_caption_source": "gpt"}, "caption_source", "unknown caption source 'gpt'"),
        ({"date": "in summer"}, "date", "'in summer' gives neither month nor hour"),
        ({"mel_features": np.zeros((5, 1, 1001, 63), np.float32)}, "log_mels", r"shape \(5, 1, 1001, 63\)"),
        ({"mel_features": np.zeros(CROPS, np.float32)}, "log_mels", "5 of 5 crops are zero or not finite"),
    ],
)
def test_what_cannot_be_is_missing_and_told(changed: dict[str, Any], what: str, reason: str) -> None:
    sample = read(**changed)
    assert [name for name, _ in sample.problems] == [what]
    assert re.search(reason, sample.problems[0][1])
    whole = read()
    assert (sample.image, sample.audio, sample.audio_caption) == (whole.image, whole.audio, whole.audio_caption)


def test_spectrograms_in_other_shapes_and_with_bad_crops() -> None:
    crops = np.full(CROPS, -40.0, np.float32)
    crops[1], crops[3, 0, 7, 7] = 0.0, np.nan
    some = read(mel_features=crops)
    assert some.log_mels is not None
    assert some.log_mels.shape == (3, 1, 1001, 64)
    assert some.problems == (("log_mels", "2 of 5 crops are zero or not finite"),)
    turned = read(mel_features=np.full((5, 64, 1001), -40.0))
    assert turned.log_mels is not None
    assert turned.log_mels.shape == CROPS


def test_an_uploads_hour_says_nothing() -> None:
    assert read(source="freesound").metadata.hour is None
    assert read(source="freesound").metadata.month == 5


def test_paths_lie_in_the_datasets_folder() -> None:
    assert read(audio="a/b.wav").audio == Path("/data/a/b.wav")
    assert read(audio={"bytes": None, "path": "c.mp3"}).audio == Path("/data/c.mp3")
