"""Captions from CSV files: the committed ones are sound, damaged ones are refused with the line."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from sat2sound.errors import ConfigurationError
from sat2sound.gallery import CAPTIONS, GalleryEntry, read_captions
from sat2sound.training.caption_files import read_caption_files

COMMITTED = read_captions()
NEAR_DUPLICATE = 0.6  # shared words / all words; the closest pair of the committed captions has 0.33


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", text.lower()))


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "own.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_there_are_enough_captions_under_one_licence() -> None:
    assert len(COMMITTED) >= 300
    assert {entry.modality for entry in COMMITTED} == {"text"}
    assert {entry.licence for entry in COMMITTED} == {"CC0-1.0"}


def test_ids_are_a_tag_and_a_number() -> None:
    wrong = [entry.id for entry in COMMITTED if not re.fullmatch(r"[a-z]+-\d{3}", entry.id)]
    assert wrong == []


def test_every_training_scene_has_eight_fitting_captions() -> None:
    fitting = {scene: sum(scene in entry.tags.split() for entry in COMMITTED) for scene in read_caption_files().scenes}
    assert len(fitting) == 21
    assert {scene: count for scene, count in fitting.items() if count < 8} == {}


def test_no_two_captions_are_nearly_the_same() -> None:
    bags = [(entry.id, words(entry.caption)) for entry in COMMITTED]
    near = [
        (one, other)
        for (one, left), (other, right) in itertools.combinations(bags, 2)
        if len(left & right) / len(left | right) > NEAR_DUPLICATE
    ]
    assert near == []


def test_no_caption_is_a_training_or_held_out_wording() -> None:
    files = read_caption_files()
    tables = (files.scenes, files.sounds, files.held_out_scenes, files.held_out_groups)
    elsewhere = {plain(text) for table in tables for texts in table.values() for text in texts}
    assert [entry.id for entry in COMMITTED if plain(entry.caption) in elsewhere] == []


def test_all_columns_are_read(tmp_path: Path) -> None:
    header = "id,modality,caption,tags,sound,licence,latitude,longitude\n"
    path = write(tmp_path, header + 'a,text,"Rain, then thunder.",weather,s3://x/a.wav,CC-BY-4.0,-36.6,121.9\n')
    assert read_captions(path) == [
        GalleryEntry(
            id="a",
            caption="Rain, then thunder.",
            sound="s3://x/a.wav",
            licence="CC-BY-4.0",
            latitude=-36.6,
            longitude=121.9,
            tags="weather",
        )
    ]


def test_a_spreadsheets_byte_order_mark_and_other_scripts_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffid,caption\r\na,ひぐらしが鳴く森\r\n")
    assert [(entry.id, entry.caption) for entry in read_captions(path)] == [("a", "ひぐらしが鳴く森")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "lacks the columns id, caption; found none"),
        ("id,text\na,b\n", "lacks the columns caption; found id, text"),
        ("id,caption\n", "no captions in it"),
        ("id,caption,license\na,b,MIT\n", "unknown or repeated columns 'license'"),
        ("id,caption,caption\na,b,c\n", "unknown or repeated columns 'caption', 'caption'"),
        ("id,caption\na,rain\nb\n", "line 3: caption must not be empty"),
        ("id,caption\n ,rain\n", "line 2: id must not be empty"),
        ("id,caption\na,rain\na,wind\n", "line 3: the id 'a' is there already"),
        ("id,caption\na,rain, then thunder\n", "line 2: more cells than columns; put captions that contain commas"),
        ('id,caption\na,"rain\nb,wind"\n', r"line 3: caption contains the character '\\n'; is a quote not closed\?"),
        ('id,caption\na,"rain\nb,wind\n', "not a readable CSV file in UTF-8: unexpected end of data"),
        ("id,caption\na,b\0c\n", r"line 2: caption contains the character '\\x00'$"),
        (f"id,caption\na,{'x' * 2001}\n", "line 2: caption has 2001 characters, at most 2000"),
        (f"id,caption\n{'i' * 201},b\n", "line 2: id has 201 characters, at most 200"),
        (f"id,caption\na,{'x' * 200_000}\n", "not a readable CSV file in UTF-8: field larger than field limit"),
        ("id,modality,caption\na,audio,b\n", "line 2: modality is 'audio', but captions are embedded as text"),
        ("id,caption,latitude,longitude\na,b,north,1\n", "line 2: latitude is 'north', expected degrees"),
        ("id,caption,latitude,longitude\na,b,nan,1\n", "line 2: latitude is nan, expected degrees from -90 to 90"),
        ("id,caption,latitude,longitude\na,b,1,180.1\n", "longitude is 180.1, expected degrees from -180 to 180"),
        ("id,caption,latitude,longitude\na,b,1,\n", "line 2: give latitude and longitude together, or neither"),
        (b"id,caption\na,\xff\xfe\n", "not a readable CSV file in UTF-8"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str | bytes, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        read_captions(write(tmp_path, content))
    assert str(raised.value).startswith(str(tmp_path / "own.csv"))


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_a_path_that_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a readable CSV file"):
        read_captions(tmp_path / name)


def test_the_committed_file_is_the_default() -> None:
    assert read_captions(CAPTIONS) == COMMITTED
