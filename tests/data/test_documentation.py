"""docs/data.md is the code's: its table is read, its columns are known, its dates say what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from published_shards import GEOSOUND, SOUNDING_EARTH
from shared_data import ROOT

from sat2sound.data.columns import IMAGERY, NAMES
from sat2sound.data.dates import Moment, read_date
from sat2sound.data.opening import open_table
from sat2sound.data.splits import canonical_split
from sat2sound.preprocessing import Metadata

TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
CODE = set(re.findall(r"`([^`\n]+)`", TEXT))


def test_the_table_is_read(tmp_path: Path) -> None:
    (block,) = re.findall(r"```csv\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "samples.csv").write_text(block, encoding="utf-8")
    (sample,) = list(open_table(tmp_path, "train"))
    assert (sample.id, sample.audio_caption, sample.image_caption) == ("pier", "waves at a pier", "gulls and surf")
    assert sample.metadata == Metadata(52.1, 4.3, 6, 14)
    assert sample.image == tmp_path / "pier.png"


def test_every_column_is_named() -> None:
    plain = {name for names in NAMES.values() for name in names} - {"group", "caption_source", "audio_source"}
    published = {"mel_features", *(names[0] for names in IMAGERY.values())}
    assert (plain | published) - CODE == set()
    shards = {name for name in (*GEOSOUND, *SOUNDING_EARTH) if name.startswith("llava")}
    assert {re.sub("(bingmap|sentinel|googleearth)_zl.", "<satellite>_zl1", name) for name in shards} <= CODE
    assert all(canonical_split(name) for name in ("validation", "valid", "dev", "training", "testing"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2013-05-01 10:22:33.0", Moment(5, 10)),
        ("2013:05:01 10:22:33", Moment(5, 10)),
        ("2013-05", Moment(5)),
        ("3 May 2013", Moment(5)),
        ("May 3, 2013 4:05 PM", Moment(5, 16)),
        ("Thu, 21 Dec 2000 16:01:07 +0200", Moment(12, 16)),
        ("01/02/2013", Moment()),
        ("2013-??-?? 10:00", Moment(None, 10)),
        *((text, Moment()) for text in ("unknown", "2013-02-31", "0000-00-00", "1970-01-01 00:00:00")),
    ],
)
def test_dates_are_read_as_it_says(written: str, meant: Moment) -> None:
    assert written in TEXT
    assert read_date(written) == meant
