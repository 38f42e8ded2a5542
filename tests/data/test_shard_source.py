"""Shards as training streams them: the rows of the table, only what is needed, and exact from any place on."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import datasets
import numpy as np
import pytest
from local_hub import LocalHub, asked_by_this_process, local_hub
from published_shards import GEOSOUND, geosound_row, write_geosound, write_shards

from sat2sound.data.choice import Choice
from sat2sound.data.opening import open_source, open_table
from sat2sound.data.passes import PassShape
from sat2sound.data.samples import Sample
from sat2sound.data.shard_source import ShardSource
from sat2sound.errors import DatasetError

SHAPE = PassShape(4, 6)
CHOICE = Choice("bingmap", log_mels=True)


def opened(data: Path | str, split: str = "train", choice: Choice = CHOICE, window: int = 5) -> ShardSource:
    source = open_source(data, split, choice, window=window)
    assert isinstance(source, ShardSource)
    return source


def whole_pass(source: ShardSource, epoch: int = 0, first: int = 0) -> list[Sample]:
    drawn = source.one_pass(0, epoch, SHAPE)
    return [drawn.sample(place) for place in range(first, SHAPE.places)]


def test_the_rows_are_those_of_the_table(published: dict[str, Path], tmp_path: Path) -> None:
    data = published["MVRL/GeoSound"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        table = {sample.id: sample for sample in open_table(data, "train", CHOICE)}
    source = opened(data)
    assert len(source) == len(table) == 24
    found = whole_pass(source)
    assert {sample.id for sample in found} == table.keys()
    for sample in found:
        assert dataclasses.replace(sample, where="") == dataclasses.replace(table[sample.id], where="")
        np.testing.assert_array_equal(sample.log_mels, table[sample.id].log_mels)


def test_another_order_in_each_pass_and_the_same_from_the_hub(hub: LocalHub, published: dict[str, Path]) -> None:
    here, there = (opened(data) for data in (published["MVRL/GeoSound"], "MVRL/GeoSound"))
    orders = [[sample.id for sample in whole_pass(there, epoch)] for epoch in (0, 1)]
    assert orders[0] != orders[1]
    assert orders == [[sample.id for sample in whole_pass(here, epoch)] for epoch in (0, 1)]
    assert {path.split("-")[0] for path, *_ in hub.reads} == {"data/train"}


def test_going_on_reads_only_what_comes(hub: LocalHub) -> None:
    """The last batch of a pass, as after a kill: no row group of the batches before it."""
    expected = [sample.id for sample in whole_pass(opened("MVRL/GeoSound"))][18:]
    source, before = opened("MVRL/GeoSound"), len(hub.reads)
    assert [sample.id for sample in whole_pass(source, first=18)] == expected
    read = [path for path, first, _ in hub.reads[before:] if first < 100_000]  # the others are footers
    assert 0 < len(read) < len(source.footers.groups) == 16


def test_only_chosen_columns_travel(tmp_path: Path) -> None:
    large = {"bytes": np.random.default_rng(0).bytes(400_000), "path": "x.jpeg"}
    rows = {"train": [geosound_row(index, sentinel_image=large, audio=large) for index in range(6)]}
    data = write_shards(tmp_path / "data", rows, GEOSOUND, per_shard=6)
    with local_hub({"MVRL/GeoSound": data}) as hub, asked_by_this_process(hub, tmp_path):
        source = opened("MVRL/GeoSound", choice=Choice("bingmap", audio=False, log_mels=True))
        drawn = source.one_pass(0, 0, PassShape(1, 6))
        assert {drawn.sample(place).satellite for place in range(6)} == {"bingmap"}
        assert sum(last - first for _, first, last in hub.reads) < 400_000 < sum(map(_size, data.rglob("*.parquet")))


def _size(path: Path) -> int:
    return path.stat().st_size


def test_two_windows_are_in_memory_at_most(published: dict[str, Path]) -> None:
    source = opened(published["MVRL/GeoSound"], window=3)
    drawn = source.one_pass(0, 0, SHAPE)
    for place in range(SHAPE.places):
        drawn.sample(place)
        now, following = drawn.order.groups(place)
        assert set(source._held.groups) == {*now, *following}


def test_it_can_be_sent_to_another_process(published: dict[str, Path]) -> None:
    source = opened(published["MVRL/GeoSound"])
    expected = [sample.id for sample in whole_pass(source)]
    assert [sample.id for sample in whole_pass(pickle.loads(pickle.dumps(source)))] == expected  # noqa: S301


def test_damaged_shards_are_named(tmp_path: Path) -> None:
    data = write_geosound(tmp_path, train=6)
    first = next(data.glob("data/train-00000*"))
    content = bytearray(first.read_bytes())
    first.write_bytes(content[:200] + bytes(len(content) // 2) + content[200 + len(content) // 2 :])
    drawn = opened(data).one_pass(0, 0, PassShape(1, 6))
    with pytest.raises(DatasetError, match=f"{tmp_path} cannot be read: .*that the shards are whole"):
        list(map(drawn.sample, range(6)))
    first.write_bytes(content[:1000])
    with pytest.raises(DatasetError, match=f"{tmp_path} cannot be read: "):
        opened(data)


def test_what_cannot_be_streamed(tmp_path: Path, published: dict[str, Path]) -> None:
    with pytest.raises(DatasetError, match="has no rows of split 'tset'; it has train, validation, test"):
        opened(published["MVRL/GeoSound"], "tset")
    datasets.Dataset.from_list([{"sample_id": "a"}]).save_to_disk(tmp_path / "saved" / "train")
    with pytest.raises(DatasetError, match="leave out --stream"):
        opened(tmp_path / "saved")
    (tmp_path / "samples.csv").write_text("id,image,split\na,a.png,train\n")
    with pytest.raises(DatasetError, match="no Parquet shards to stream"):
        opened(tmp_path)
