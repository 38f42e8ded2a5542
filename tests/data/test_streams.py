"""Published data sets read here and from a hub, in their order; names, splits and errors."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import datasets
import numpy as np
import pytest
from local_hub import LocalHub
from published_shards import CROPS, GEOSOUND, geosound_row, write_shards

from sat2sound.data.choice import Choice
from sat2sound.data.opening import open_samples, open_table
from sat2sound.data.samples import Sample
from sat2sound.data.streams import hub_name
from sat2sound.errors import DatasetError

CHOICE = Choice("bingmap", log_mels=True)


def same(found: list[Sample], expected: list[Sample]) -> None:
    assert [dataclasses.replace(each, where="") for each in found] == [
        dataclasses.replace(each, where="") for each in expected
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.log_mels, other.log_mels)


def test_here_on_the_hub_and_copied_are_the_same(published: dict[str, Path], hub: LocalHub, tmp_path: Path) -> None:
    folder = published["MVRL/GeoSound"]
    here = list(open_samples(folder, "val", CHOICE))
    assert [sample.id for sample in here] == [geosound_row(index)["sample_id"] for index in range(24, 36)]
    assert all(sample.log_mels is not None and sample.log_mels.shape == CROPS for sample in here)
    for name in ("MVRL/GeoSound", "hf://datasets/MVRL/GeoSound", "hf://datasets/MVRL/GeoSound@main"):
        same(list(open_samples(name, "validation", CHOICE)), here)
    assert {path.split("-")[0] for path, *_ in hub.reads} <= {"data/train", "data/validation"}
    table = open_table("MVRL/GeoSound", "val", CHOICE)
    same(list(table), here)
    same([table[-1]], [here[-1]])
    with pytest.raises(IndexError):
        table[12]
    saved = tmp_path / "saved"
    rows = datasets.load_dataset(str(folder), split="validation", cache_dir=str(tmp_path / "cache"))
    rows.save_to_disk(str(saved / "validation"))
    same(list(open_samples(saved, "val", CHOICE)), here)
    same(list(open_table(saved, "val", CHOICE)), here)


def test_soundingearth(published: dict[str, Path]) -> None:
    found = list(open_samples(published["MVRL/SoundingEarth"], "test"))
    assert len(found) == 12
    assert {(sample.satellite, sample.metadata.hour, sample.metadata.audio_source) for sample in found} == {
        ("googleEarth", 23, "aporee")
    }
    assert all(sample.image and sample.audio and sample.image_caption for sample in found)


@pytest.mark.parametrize(
    ("data", "split", "words"),
    [
        ("MVRL/GeoSound", "tset", "has no rows of split 'tset'; it has train, validation, test"),
        (
            "MVRL/Absent",
            "test",
            "MVRL/Absent cannot be read: .*there is no MVRL/Absent here; check the path or the hub",
        ),
        ("hf://datasets/MVRL", "test", "no name of the hub"),
        ("one/two/three", "test", "one/two/three does not exist, and is no name of the hub"),
    ],
)
def test_what_cannot_be_opened(data: str, split: str, words: str, hub: LocalHub) -> None:
    with pytest.raises(DatasetError, match=words):
        open_samples(data, split, CHOICE)


def test_a_damaged_shard_is_named_when_it_is_met(tmp_path: Path) -> None:
    rows = {"train": [geosound_row(index) for index in range(6)]}
    data = write_shards(tmp_path, rows, GEOSOUND)
    second = next(data.glob("data/train-00001*"))
    second.write_bytes(second.read_bytes()[:-100])
    found: list[Sample] = []
    with pytest.raises(DatasetError, match=f"{tmp_path} cannot be read: "):
        found.extend(open_samples(data, "train", CHOICE))


def test_rows_without_ids_are_refused(tmp_path: Path) -> None:
    features = datasets.Features({name: of for name, of in GEOSOUND.items() if name != "sample_id"})
    rows = {"train": [{name: value for name, value in geosound_row(0).items() if name != "sample_id"}]}
    with pytest.raises(DatasetError, match="no column sample_id or id; to fix it, give each row an id"):
        open_samples(write_shards(tmp_path, rows, features), "train", CHOICE)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("MVRL/GeoSound", "hf://datasets/MVRL/GeoSound"),
        ("hf://datasets/MVRL/GeoSound@refs/convert/parquet", "hf://datasets/MVRL/GeoSound@refs/convert/parquet"),
        ("/MVRL/GeoSound", None),
        ("./MVRL/GeoSound", None),
        ("../shared/data", None),
        ("GeoSound", None),
        ("hf://MVRL/GeoSound", None),
    ],
)
def test_names_of_the_hub(written: str, meant: str | None) -> None:
    assert hub_name(written) == meant


def test_a_folder_here_comes_before_a_name_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "MVRL" / "GeoSound").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_name("MVRL/GeoSound") is None
    assert hub_name("hf://datasets/MVRL/GeoSound") is not None
