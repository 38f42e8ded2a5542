"""One's own samples.csv: what is read, and every mistake with its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sat2sound.data.choice import Choice
from sat2sound.data.table_file import find_table, open_table_file, table_splits
from sat2sound.errors import DatasetError
from sat2sound.preprocessing import Metadata

HEAD = "id,image,audio,audio_caption,image_caption,latitude,longitude,date,split"


def write(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "samples.csv"
    path.write_text("\n".join((head, *rows)) + "\n", encoding="utf-8")
    return path


def test_all_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'pier,a/pier.png,pier.wav,"waves, near",gulls,52.1,4.3,2021-06-01 14:00,train',
        "wood,wood.png,wood.wav,,,,,unknown,val",
        "road,,road.wav,cars,,-1,0,,Validation",
    )
    (pier,) = open_table_file(path, "train", Choice())
    assert (pier.id, pier.image, pier.audio) == ("pier", tmp_path / "a/pier.png", tmp_path / "pier.wav")
    assert (pier.audio_caption, pier.image_caption) == ("waves, near", "gulls")
    assert pier.metadata == Metadata(52.1, 4.3, 6, 14)
    assert pier.where == "samples.csv, row 2"
    wood, road = rows = open_table_file(path, "val", Choice())
    assert len(rows) == 2
    assert (wood.audio_caption, wood.metadata, wood.problems[0][0]) == (None, Metadata(), "date")
    assert (road.image, road.metadata.latitude, road.problems) == (None, -1.0, ())
    assert table_splits(path) == ["train", "val"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_write_other_separators_and_a_mark(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("\ufeff" + "id,image,split\na,a.png,test\n".replace(",", separator), encoding="utf-8")
    (sample,) = open_table_file(path, "test", Choice())
    assert (sample.id, sample.image) == ("a", tmp_path / "a.png")


def test_ids_may_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "a.png,train", "b.png,train", head="image,split")
    assert [sample.id for sample in open_table_file(path, "train", Choice())] == ["samples.csv:2", "samples.csv:3"]


def test_captions_of_several_zoom_levels(tmp_path: Path) -> None:
    head = "id,image,llava_caption_aerial_zl1,llava_caption_aerial_zl3,split"
    (sample,) = open_table_file(write(tmp_path, "a,a.png,near,far,train", head=head), "train", Choice(zoom_level=3))
    assert (sample.image_captions, sample.image_caption) == ({1: "near", 3: "far"}, "far")


@pytest.mark.parametrize(
    ("head", "rows", "words"),
    [
        (
            "id,picture,split",
            ["a,a.png,train"],
            r"no column image or audio; it has id, picture, split; .*data\.md",
        ),
        ("id,imgae,audio", ["a,a.png,a.wav"], r"no column split; .*imgae \(did you mean image\?\)"),
        ("image,split,split", ["a.png,train,val"], "has the column 'split' twice"),
        ("image,split", [], "has no rows"),
        ("image,split", ["a.png"], "row 2 has fewer values than the 2 columns"),
        ("image,split", ["a.png,train", "b, c.png,train"], "row 3 has more values .*in double quotes"),
        ("image,split", ["a.png,training data"], "row 2: unknown split 'training data'; known are train, val, test"),
        ("id,image,split", ["a,a.png,train", "a,b.png,val"], "row 3: the id 'a' occurs in row 2 too"),
        ("id,image,split", [",a.png,train"], "row 2: the id is empty"),
        ("image,lat,lon,split", ["a.png,95,4,train"], "row 2: latitude is 95"),
        ("image,lat,lon,split", ["a.png,north,4,train"], "row 2: 'north' is not a number"),
        ("image,lat,lon,split", ["a.png,52,,train"], "row 2: .*longitude"),
        ("image,split", ["a.png,val"], r"no rows of split 'train'; it has val \(1 rows\)"),
    ],
)
def test_mistakes_are_told_with_their_rows(head: str, rows: list[str], words: str, tmp_path: Path) -> None:
    path = write(tmp_path, *rows, head=head)
    with pytest.raises(DatasetError) as told:
        open_table_file(path, "train", Choice())
    assert re.search(words, " ".join(str(told.value).split())), told.value


def test_many_mistakes_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, *(f"{at}.png,nowhere" for at in range(30)), head="image,split")
    with pytest.raises(DatasetError, match=r"30 rows that cannot be right(.|\n)*and 10 more"):
        open_table_file(path, "train", Choice())


def test_what_is_no_text_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_bytes(b"image,split\n\xff\xfe,train\n")
    with pytest.raises(DatasetError, match="check that it is a CSV file in UTF-8"):
        open_table_file(path, "train", Choice())


def test_finding_it(tmp_path: Path) -> None:
    assert find_table(tmp_path) is None
    path = write(tmp_path)
    assert find_table(tmp_path) == find_table(path) == path
    assert find_table(tmp_path / "absent.csv") is None
