"""Retrieval metrics as the paper defines them (MODEL.md, what it does), and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sat2sound.evaluation.ranks import Embeddings, true_match_ranks, unit_rows

Ranks = npt.NDArray[np.float64]


def recall_at_ten_percent(ranks: Ranks, gallery: int | None = None) -> float:
    """Share of queries whose true match ranks strictly below 10 % of the gallery size.

    ranks: float64 [n], 1 = best. gallery: its size, where only some of the queries are looked at; default n.
    """
    return float((ranks < 0.1 * (len(ranks) if gallery is None else gallery)).mean())


def recall_at(ranks: Ranks, k: int) -> float:
    """Share of queries whose true match is among the best k. ranks: float64 [n], 1 = best."""
    return float((ranks <= k).mean())


def median_rank(ranks: Ranks) -> float:
    """Median rank, 1 = best. ranks: float64 [n]."""
    return float(np.median(ranks))


@dataclass(frozen=True)
class Retrieval:
    """R@10% and median rank of one direction."""

    recall_at_ten_percent: float
    median_rank: float


def retrieval(queries: Embeddings, gallery: Embeddings) -> Retrieval:
    """Evaluate queries float32 [n, D] against a gallery float32 [n, D] whose row i is the match of query i."""
    ranks = true_match_ranks(queries, gallery)
    return Retrieval(recall_at_ten_percent(ranks), median_rank(ranks))


def with_text(embeddings: Embeddings, texts: Embeddings) -> Embeddings:
    """Sum of unit vectors, of unit length again: how text is added to a query or to the audio. float32 [n, D]."""
    return unit_rows(unit_rows(embeddings) + unit_rows(texts))


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval over n items."""

    value: float
    low: float
    high: float
    n: int


def bootstrap(
    items: npt.ArrayLike,
    statistic: Callable[[npt.NDArray[np.float64]], float] = lambda values: float(values.mean()),
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The statistic of per-item values with its percentile interval. items: float [n], n >= 1."""
    values = np.asarray(items, dtype=np.float64)
    if values.size == 0:
        raise ValueError("no items to evaluate: is the split empty?")
    random = np.random.default_rng(seed)
    drawn = [statistic(values[random.integers(0, len(values), len(values))]) for _ in range(resamples)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(statistic(values), float(low), float(high), len(values))
