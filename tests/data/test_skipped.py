"""Skipped, counted, listed, and fatal above a threshold: each part judged alone."""

from __future__ import annotations

import pickle

import pytest

from sat2sound.data.skipped import LISTED, SkippedParts
from sat2sound.errors import DatasetError


def parts(images: int, bad: int) -> SkippedParts:
    found = SkippedParts()
    found.give("image", images)
    found.give("audio_caption", 1000)
    for index in range(bad):
        found.skip(f"place-{index}", "image", "truncated")
    return found


def test_few_of_thousands_are_no_reason_to_stop() -> None:
    found = parts(1000, 20)
    found.check(0.02)
    assert len(found.lines()) == LISTED
    assert found.lines()[0] == "skipped image of place-0: truncated"


def test_too_many_stop_the_run_with_their_names() -> None:
    with pytest.raises(
        DatasetError, match=r"21 of 1000 image entries cannot be used:\n  place-0: truncated(.|\n)*and 1"
    ):
        parts(1000, 21).check(0.02)
    with pytest.raises(DatasetError, match="allow a larger share with --this"):
        parts(10, 5).check(0.2, option="--this")


def test_all_of_a_part_stop_it_whatever_is_allowed() -> None:
    with pytest.raises(DatasetError, match="3 of 3"):
        parts(3, 3).check(1.0)
    parts(3, 2).check(1.0)


def test_counts_of_processes_are_added_and_repetitions_told_once() -> None:
    found, other = parts(10, 2), pickle.loads(pickle.dumps(parts(10, 2)))  # noqa: S301
    found.merge(other)
    assert (found.given["image"], len(found.entries)) == (20, 4)
    assert [entry.id for entry in found.without_repetitions().entries] == ["place-0", "place-1"]
