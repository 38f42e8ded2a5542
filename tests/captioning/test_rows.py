"""Images from folders, CSV and Parquet files, and what is wrong with such data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_hub import LocalHub

from sat2sound.captioning.rows import Row, Wanted, read_rows
from sat2sound.data.choice import Choice
from sat2sound.data.opening import open_samples
from sat2sound.errors import DatasetError


def test_a_folder_of_images(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a.jpg", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list(read_rows(tmp_path)) == [Row("a.jpg", tmp_path / "a.jpg"), Row("b/2.PNG", tmp_path / "b" / "2.PNG")]


def test_a_csv_with_and_without_ids(tmp_path: Path) -> None:
    table = tmp_path / "data.csv"
    table.write_text("image,id,place\na.jpg,7,x\n,8,y\n")
    assert list(read_rows(table)) == [Row("7", tmp_path / "a.jpg"), Row("8", None)]
    assert list(read_rows(table, Wanted(id_column="place"))) == [Row("x", tmp_path / "a.jpg"), Row("y", None)]
    table.write_text("picture\na.jpg\n")
    assert list(read_rows(table, Wanted("picture"))) == [Row("a.jpg", tmp_path / "a.jpg")]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([b"x", None, b""], [b"x", None, None]),
        ([{"bytes": b"x", "path": "p"}, {"bytes": None, "path": "a.jpg"}, None], [b"x", "a.jpg", None]),
        (["a.jpg", None, "b.jpg"], ["a.jpg", None, "b.jpg"]),
    ],
)
def test_parquet_files_and_shards(images: list[Any], expected: list[Any], tmp_path: Path) -> None:
    for shard in range(2):
        ids = [f"{shard}-{index}" for index in range(3)]
        pq.write_table(pa.table({"sample_id": ids, "bingmap_image": images}), tmp_path / f"{shard}.parquet")
    found = list(read_rows(tmp_path, Wanted("bingmap_image")))
    assert [row.id for row in found] == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
    wanted = [tmp_path / value if isinstance(value, str) else value for value in expected]
    assert [row.image for row in found] == wanted * 2
    assert list(read_rows(tmp_path / "0.parquet", Wanted(satellite="bingmap"))) == found[:3]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "picture\nx.jpg\n", "no column 'image'; it has picture"),
        ("a.csv", "image,id\nx.jpg,1\ny.jpg,1\n", "'1' is empty or occurs twice"),
        ("a.csv", "image,id\nx.jpg,\n", "'' is empty"),
        ("a.csv", "image\n", "holds no images"),
        ("a.parquet", "no parquet", "not a readable Parquet file"),
        ("a.txt", "", "no folder, .csv or .parquet"),
    ],
)
def test_what_is_wrong_is_said(name: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=words):
        list(read_rows(tmp_path / name))


def test_parquet_needs_ids(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="--id-column"):
        list(read_rows(tmp_path / "a.parquet"))


def ids(source: Path | str, **wanted: Any) -> list[str]:
    return [row.id for row in read_rows(source, Wanted(**wanted))]


def test_a_table_of_ones_own_by_split(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("id,image,split\na,a.jpg,train\nb,b.jpg,val\nc,c.jpg,validation\n")
    assert ids(tmp_path) == ["a", "b", "c"]
    assert ids(tmp_path, split="validation") == ["b", "c"]
    (tmp_path / "other.csv").write_text("image\na.jpg\n")
    with pytest.raises(DatasetError, match="has no splits; to fix it, leave out --split"):
        ids(tmp_path / "other.csv", split="val")


def test_published_shards_here_and_on_the_hub(published: dict[str, Path], hub: LocalHub) -> None:
    for source in (published["MVRL/GeoSound"], "MVRL/GeoSound"):
        rows = list(read_rows(source, Wanted(split="test", satellite="sentinel")))
        expected = {sample.id: sample.image for sample in open_samples(source, "test", Choice("sentinel"))}
        assert {row.id: row.image for row in rows} == expected
        assert len(ids(source, satellite="bingmap")) == 24 + 12 + 12
    with pytest.raises(DatasetError, match=r"no column 'image' or 'googleearth_image' or .*--image-column"):
        ids("MVRL/GeoSound", satellite="googleEarth")
    with pytest.raises(DatasetError, match="has no rows of split 'tset'"):
        ids("MVRL/GeoSound", split="tset")
    assert len(ids("MVRL/SoundingEarth", satellite="googleEarth", split="val")) == 12


def test_what_is_nowhere(hub: LocalHub) -> None:
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        ids("nowhere")
    with pytest.raises(DatasetError, match="there is no MVRL/Absent here"):
        ids("MVRL/Absent")
