"""A path finds its reader, and what is none says so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from made_pairs import write_table
from starter_folder import write_starter_folder

from sat2sound.data.opening import is_shards, open_samples
from sat2sound.errors import ConfigurationError, DatasetError


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda folder: folder / "absent", DatasetError, "does not exist"),
        (lambda folder: folder, DatasetError, "no known layout"),
        (write_starter_folder, ConfigurationError, "no rows of split 'tset'"),
    ],
)
def test_what_is_no_dataset_says_so(tmp_path: Path, make, kind, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(kind, match=words):
        list(open_samples(make(tmp_path), "tset"))


def test_each_layout_has_its_reader(tmp_path: Path, published: dict[str, Path]) -> None:
    write_table(tmp_path / "own", train=2, val=1)
    assert type(open_samples(tmp_path / "own", "train")).__name__ == "TableRows"
    assert type(open_samples(tmp_path / "own" / "samples.csv", "val")).__name__ == "TableRows"
    assert type(open_samples(published["MVRL/SoundingEarth"], "val")).__name__ == "SampleStream"
    assert isinstance(open_samples(write_starter_folder(tmp_path / "starter", train=1, other=1), "val"), list)


def test_plain_layouts_do_not_need_the_datasets_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not is_shards(write_table(tmp_path / "own", train=1, val=1))
    assert not is_shards(tmp_path)
    with pytest.raises(DatasetError, match=r"pip install 'sat2sound\[train\]'"):
        is_shards("MVRL/GeoSound")
