"""What one contender did in one turn, and how turns become one row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Sample:
    """One turn. images_per_second: answered in the measured window. p50, p95, p99: latency of a request in ms.

    server_cpu_ms: processor milliseconds of the server's processes per image, without the load generator's.
    memory_mb: of the server's processes together, pages that they share counted once (PSS); resident_mb: the plain sum
    (RSS). models: for Triton, per composing model what its own statistics say of this turn, per image.
    """

    images_per_second: float
    p50: float
    p95: float
    p99: float
    requests: int
    server_cpu_ms: float = float("nan")
    memory_mb: float = float("nan")
    resident_mb: float = float("nan")
    models: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def from_latencies(cls, images_per_second: float, milliseconds: Sequence[float]) -> Sample:
        """Of the latencies of all requests in the window."""
        if not milliseconds:
            raise ValueError("no request was answered in the measured window; make the window longer")
        p50, p95, p99 = (float(value) for value in np.percentile(milliseconds, PERCENTILES))
        return cls(images_per_second, p50, p95, p99, len(milliseconds))


@dataclass(frozen=True)
class Row:
    """Median of the turns for each number of `Sample`; low, high: images per second of the worst and best turn."""

    median: Sample
    low: float
    high: float
    turns: int


def combine(samples: Sequence[Sample]) -> Row:
    """The row of one contender."""
    names = [entry.name for entry in dataclasses.fields(Sample) if entry.name not in ("models", "requests")]
    median = {name: float(np.median([getattr(sample, name) for sample in samples])) for name in names}
    models = {
        model: {
            key: float(np.median([sample.models[model][key] for sample in samples if model in sample.models]))
            for key in numbers
        }
        for model, numbers in samples[0].models.items()
    }
    speeds = [sample.images_per_second for sample in samples]
    requests = sum(sample.requests for sample in samples)
    return Row(Sample(**median, requests=requests, models=models), min(speeds), max(speeds), len(samples))


@dataclass(frozen=True)
class Ratio:
    """Of two contenders' images per second: of the medians, and the smallest and largest of any one round."""

    of_medians: float
    low: float
    high: float


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> Ratio:
    """Both sequences are in the order of the rounds."""
    mine = np.array([sample.images_per_second for sample in ours])
    other = np.array([sample.images_per_second for sample in theirs])
    by_round = mine / other
    return Ratio(float(np.median(mine) / np.median(other)), float(by_round.min()), float(by_round.max()))
