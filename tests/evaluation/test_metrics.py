"""Retrieval metrics: the published numbers, hand-made ranks, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import shared_folder

from sat2sound.evaluation.metrics import (
    bootstrap,
    median_rank,
    recall_at,
    recall_at_ten_percent,
    retrieval,
    with_text,
)


def test_published_numbers_exactly() -> None:
    expected = np.load(shared_folder("parity", "expected.npz"))
    image, sound, text = (expected[f"loss_{name}"] for name in ("satellite", "audio", "audio_caption"))
    pairs = {
        "retrieval_i2s": retrieval(image, sound),
        "retrieval_s2i": retrieval(sound, image),
        "retrieval_i2st": retrieval(image, with_text(sound, text)),
    }
    for key, found in pairs.items():
        assert [found.recall_at_ten_percent, found.median_rank] == expected[key].tolist()


def test_ten_percent_is_a_strict_bound() -> None:
    ranks = np.arange(1.0, 31.0)  # 30 items: a rank must be below 3
    assert recall_at_ten_percent(ranks) == pytest.approx(2 / 30)
    assert recall_at_ten_percent(np.array([2.5] * 30)) == 1.0  # a tie on ranks 2 and 3


def test_recall_at_and_median() -> None:
    ranks = np.array([1.0, 1.5, 5.0, 10.0])
    assert recall_at(ranks, 1) == 0.25
    assert recall_at(ranks, 5) == 0.75
    assert median_rank(ranks) == 3.25


def test_text_is_added_with_equal_weight_whatever_its_length() -> None:
    mixed = with_text(np.array([[100.0, 0.0]], np.float32), np.array([[0.0, 0.01]], np.float32))
    assert mixed[0] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)])


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    found = [bootstrap(random.random(80) < 0.7, resamples=300, seed=trial) for trial in range(200)]
    covered = np.mean([estimate.low <= 0.7 <= estimate.high for estimate in found])
    assert 0.88 <= covered <= 0.99
    assert all(estimate.n == 80 and estimate.low <= estimate.value <= estimate.high for estimate in found)


def test_bootstrap_is_reproducible_and_refuses_nothing() -> None:
    items = [0.0, 1.0, 1.0]
    assert bootstrap(items) == bootstrap(items)
    with pytest.raises(ValueError, match="split empty"):
        bootstrap([])
