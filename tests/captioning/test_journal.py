"""The journal after kills, damage, and a change of mind."""

from __future__ import annotations

from pathlib import Path

import pytest

from sat2sound.captioning.captioner import Answer
from sat2sound.captioning.journal import Journal
from sat2sound.errors import DatasetError

SETTINGS = {"model": "llava", "zoom_levels": [1, 3]}


def test_answers_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal"
    with Journal(path, SETTINGS) as journal:
        journal.append(("a", 1), Answer(caption="Möwen, “Wind”\u2028and waves"))
        journal.append(("a", 3), Answer(failure="HTTP 500"))
        journal.append(("a", 3), Answer(caption="rain"))
    with Journal(path, SETTINGS) as journal:
        assert journal.answers == {
            ("a", 1): Answer(caption="Möwen, “Wind”\u2028and waves"),
            ("a", 3): Answer(caption="rain"),
        }


def test_every_place_where_a_kill_can_cut_the_file(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    with Journal(whole, SETTINGS) as journal:
        journal.append(("a", 1), Answer(caption="one"))
        journal.append(("b", 1), Answer(caption="two"))
    content = whole.read_bytes()
    for length in range(len(content)):
        cut = tmp_path / "cut"
        cut.write_bytes(content[:length])
        with Journal(cut, SETTINGS) as journal:
            kept = content[:length].count(b"\n") - 1
            assert list(journal.answers) == [("a", 1), ("b", 1)][: max(kept, 0)]
            journal.append(("c", 1), Answer(caption="three"))
        with Journal(cut, SETTINGS) as journal:
            assert journal.answers["c", 1].caption == "three"


def test_damage_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, SETTINGS) as journal:
        journal.append(("a", 1), Answer(caption="one"))
    path.write_bytes(path.read_bytes() + b'{"id": "b"\n' + b'{"id": "c", "zoom_level": 1, "caption": "x"}\n')
    with pytest.raises(DatasetError, match="is damaged"), Journal(path, SETTINGS):
        pass


def test_other_settings_are_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", SETTINGS):
        pass
    with (
        pytest.raises(DatasetError, match="begun with model 'llava', this run has 'other'"),
        Journal(tmp_path / "journal", {**SETTINGS, "model": "other"}),
    ):
        pass


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "journal", SETTINGS),
        pytest.raises(DatasetError, match="in use"),
        Journal(tmp_path / "journal", SETTINGS),
    ):
        pass
