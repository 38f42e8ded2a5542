"""Ranks against a plain rewrite, with ties, and their memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.stats import rankdata

from sat2sound.evaluation import ranks
from sat2sound.evaluation.ranks import Embeddings, true_match_ranks


def random_rows(count: int, width: int, seed: int) -> Embeddings:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(some.integers(1, 60), some.integers(0, 2**31))
def test_equals_ranking_every_row(count: int, seed: int) -> None:
    queries, gallery = random_rows(count, 8, seed), random_rows(count, 8, seed + 1)
    scores = ranks.unit_rows(queries) @ ranks.unit_rows(gallery).T
    expected = [rankdata(-row, method="average")[index] for index, row in enumerate(scores)]
    assert true_match_ranks(queries, gallery).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(some.lists(some.integers(0, 3), min_size=1, max_size=40))
def test_ties_share_the_average_rank(directions: list[int]) -> None:
    gallery = np.eye(4, dtype=np.float32)[directions]  # axis-parallel, so that equal scores are exactly equal
    expected = [rankdata(-row, method="average")[index] for index, row in enumerate(gallery @ gallery.T)]
    assert true_match_ranks(gallery * 3, gallery).tolist() == expected


def test_blocks_do_not_change_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = random_rows(101, 16, 1), random_rows(101, 16, 2)
    whole = true_match_ranks(queries, gallery)
    monkeypatch.setattr(ranks, "_BLOCK_BYTES", 4 * 101 * 7)  # 7 queries at a time, and 3 in the last block
    assert np.array_equal(true_match_ranks(queries, gallery), whole)


@pytest.mark.parametrize(("count", "width"), [(33, 64), (100, 1024), (257, 512), (1000, 64)])
def test_equal_rows_tie_wherever_they_stand(count: int, width: int) -> None:
    queries, captions = random_rows(count, width, 5), random_rows(count // 2 + 1, width, 6)
    which = np.arange(count) % len(captions)
    scores = (queries.astype(np.float64) @ ranks.unit_rows(captions).T.astype(np.float64))[:, which]
    expected = [rankdata(-row, method="average")[index] for index, row in enumerate(scores)]
    assert true_match_ranks(queries, captions[which]).tolist() == expected


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(wrong: float) -> None:
    good, bad = random_rows(5, 4, 0), random_rows(5, 4, 1)
    bad[3, 2] = wrong
    for queries, gallery, what in ((bad, good, "queries"), (good, bad, "the gallery")):
        with pytest.raises(ValueError, match=f"{what}: 1 of 5 rows .* first row 3"):
            true_match_ranks(queries, gallery)


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one match per query"):
        true_match_ranks(random_rows(3, 4, 0), random_rows(4, 4, 0))


def test_memory_stays_far_below_the_matrix_of_scores() -> None:
    count, width = 20_000, 16
    queries, gallery = random_rows(count, width, 3), random_rows(count, width, 4)
    tracemalloc.start()
    true_match_ranks(queries, gallery)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    matrix = 4 * count * count
    assert peak < matrix / 4  # 1.6 GB in one piece
    # Peak = unit copies and their temporaries (per number of the inputs) + blocks (constant). The same at full size:
    inputs = 2 * 4 * count * width
    at_full_size = 2 * (2 * 4 * 50_000 * 1024) + (peak - inputs)
    assert at_full_size + 2 * 4 * 50_000 * 1024 < 2_000_000_000
