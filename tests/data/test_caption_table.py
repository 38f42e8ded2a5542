"""Captions that were written for a dataset are joined with it by id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sat2sound.captioning.captioner import Answer
from sat2sound.captioning.output import write_captions
from sat2sound.data.caption_table import read_captions
from sat2sound.data.choice import Choice
from sat2sound.data.opening import open_samples, open_source, open_table
from sat2sound.errors import DatasetError

ANSWERS = {
    ("iNat-25", 1): Answer(caption="a stream"),
    ("iNat-25", 3): Answer(failure="HTTP 400"),
    ("yfcc-24", 1): Answer(failure="damaged"),
    ("yfcc-24", 3): Answer(failure="damaged"),
}
COLUMNS = {zoom: f"llava_caption_sentinel_zl{zoom}" for zoom in (1, 3)}


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_what_captioning_wrote_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"captions{suffix}"
    write_captions(path, ["yfcc-24", "iNat-25"], COLUMNS, ANSWERS, {})
    assert read_captions(path, "sentinel") == read_captions(path, None) == {"iNat-25": {1: "a stream"}}
    with pytest.raises(DatasetError, match=r"no captions of bingmap; it has id, llava_caption_sentinel_zl1"):
        read_captions(path, "bingmap")


def test_they_take_the_place_of_the_datasets(published: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "captions.parquet"
    write_captions(path, ["yfcc-24", "iNat-25"], COLUMNS, ANSWERS, {})
    data, choice = published["MVRL/GeoSound"], Choice("sentinel", captions=path)
    found = {sample.id: sample for sample in open_samples(data, "val", choice)}
    assert found["iNat-25"].image_captions == {1: "a stream"}
    assert found["iNat-25"].image_caption == "a stream"
    assert found["iNat-25"].audio_caption == "sound number 25"
    assert [own for own, sample in found.items() if sample.image_caption] == ["iNat-25"]
    source = open_source(data, "val", choice)
    assert len(source) == 12


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("id,image,image_caption,split\na,a.png,old,train\nb,b.png,old,train\n")
    path = tmp_path / "captions.jsonl"
    path.write_text(json.dumps({"id": "a", "llava_caption_aerial_zl1": "new"}) + "\n")
    assert [sample.image_caption for sample in open_table(tmp_path, "train", Choice(captions=path))] == ["new", None]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", "no json\n", "cannot be read as captions"),
        ("a.jsonl", '{"name": "a", "llava_caption_aerial_zl1": "x"}\n', "no column id"),
        ("a.jsonl", '{"id": "a", "caption": "x"}\n', "no captions of one satellite type"),
        ("a.parquet", "no parquet", "cannot be read as captions"),
    ],
)
def test_what_is_no_file_of_captions(name: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=words):
        read_captions(tmp_path / name, None)
