from __future__ import annotations

import numpy as np
import pytest

from sat2sound.errors import InvalidInput
from sat2sound.serving.python_models.ranking import check_scores, top_k


def test_the_default_is_ten_or_all_there_are() -> None:
    assert top_k(None, 100) == 10
    assert top_k(None, 4) == 4


@pytest.mark.parametrize("asked", [1, 7, 100])
def test_what_was_asked_for(asked: int) -> None:
    assert top_k(np.full((3, 1), asked, np.int32), 100) == asked


@pytest.mark.parametrize("asked", [0, -1, 101])
def test_out_of_range_says_the_range(asked: int) -> None:
    with pytest.raises(InvalidInput, match=rf"TOP_K is {asked}; expected 1 to 100 \(.*; to fix it"):
        top_k(np.full((2, 1), asked, np.int32), 100)


def test_two_values_in_one_request_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"TOP_K differs within one request: \[3, 5\]"):
        top_k(np.array([[5], [3]], np.int32), 100)


def test_scores_of_vectors_without_direction_are_refused() -> None:
    scores = np.random.default_rng(0).uniform(-1, 1, (4, 7)).astype(np.float32)
    assert np.array_equal(check_scores(scores, "QUERIES"), scores)
    scores[1], scores[3, [2, 6]] = np.nan, np.nan
    with pytest.raises(InvalidInput) as refused:
        check_scores(scores, "QUERIES")
    first, second = str(refused.value).split("; item 3: ")
    assert first.startswith("item 1: QUERIES cannot be compared: all zeros, or with NaN")
    assert second.startswith("QUERIES at position 2, 6 cannot be compared")
