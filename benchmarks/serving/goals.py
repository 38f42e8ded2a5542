"""What a run is held against: ratios of images per second, and of p99, between contenders of the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serving.sample import Ratio, Sample, combine, ratio

Samples = Mapping[str, Sequence[Sample]]
Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Goal:
    """ours / theirs should be at least `least`; p99: ours must not be longer, at the same concurrency."""

    title: str
    ours: Key
    theirs: Key | None
    least: float
    p99: bool = False


@dataclass(frozen=True)
class Verdict:
    """A goal and what was measured. p99_ms: ours and theirs, where that is part of the goal."""

    title: str
    least: float
    ratio: Ratio
    p99_ms: tuple[float, float] | None

    @property
    def met(self) -> bool:
        """Whether the ratio of the medians is reached, and p99 is no worse where it counts."""
        return self.ratio.of_medians >= self.least and (self.p99_ms is None or self.p99_ms[0] <= self.p99_ms[1])


_PIXELS = "embed_pixels"
_LOOP = "HTTP loop"


def _served(precision: str, load: str, concurrency: int) -> Key:
    return ("triton", precision, _PIXELS, load, str(concurrency))


def _peer(concurrency: int) -> Key:
    return ("FastAPI + torch", "float32", _PIXELS, _LOOP, str(concurrency))


def _against_bare(precision: str) -> list[Goal]:
    return [
        Goal(f"served / bare, {precision}, {count} in flight", _served(precision, "perf_analyzer", count), None, least)
        for count, least in ((4, 0.90), (16, 0.95))
    ]


def _against_peer(precision: str, least: float) -> list[Goal]:
    return [
        Goal(f"served / FastAPI + torch, {precision}, {count} in flight",
             _served(precision, _LOOP, count), _peer(count), least, p99=True)
        for count in (4, 16)
    ]  # fmt: skip


GOALS: Mapping[str, Sequence[Goal]] = {
    "starter": [*_against_bare("float32"), *_against_bare("int8"), *_against_peer("float32", 1.0),
                *_against_peer("int8", 1.4)],
    "published": [*_against_bare("float32"), *_against_bare("int8"), *_against_peer("float32", 1.0),
                  *_against_peer("int8", 1.8)],
}  # fmt: skip


def best_bare(samples: Samples, precision: str) -> str:
    """The name of the fastest setting of a bare session, by its median."""
    names = [name for name in samples if name.startswith(f"bare onnxruntime | {precision} |")]
    return max(names, key=lambda name: combine(samples[name]).median.images_per_second)


def judge(suite: str, samples: Samples) -> list[Verdict]:
    """Every goal of the suite whose contenders took part."""
    verdicts = []
    for goal in GOALS[suite]:
        ours = " | ".join(goal.ours)
        if ours not in samples:
            continue
        theirs = best_bare(samples, goal.ours[1]) if goal.theirs is None else " | ".join(goal.theirs)
        if theirs not in samples:
            continue
        p99 = (combine(samples[ours]).median.p99, combine(samples[theirs]).median.p99) if goal.p99 else None
        verdicts.append(Verdict(goal.title, goal.least, ratio(samples[ours], samples[theirs]), p99))
    return verdicts
