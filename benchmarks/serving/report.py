"""A run as JSON and as tables that a person reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.serving.goals import Verdict, judge
from benchmarks.serving.sample import Sample, combine

_HEAD = ("system", "precision", "door", "asked by", "in flight",
         "images/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms/image", "PSS MB", "RSS MB")  # fmt: skip


def as_json(suite: str, machine: Mapping[str, Any], samples: Mapping[str, Sequence[Sample]], more: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """Everything that was measured; NaN (not measured) as null."""
    verdicts = [{**dataclasses.asdict(verdict), "met": verdict.met} for verdict in judge(suite, samples)]
    rows = {name: dataclasses.asdict(combine(taken)) for name, taken in samples.items()}
    turns = {name: [dataclasses.asdict(sample) for sample in taken] for name, taken in samples.items()}
    document = {"suite": suite, "machine": machine, "goals": verdicts, "rows": rows, "turns": turns, **more}
    return {name: _without_nan(value) for name, value in document.items()}


def as_table(
    suite: str, machine: Mapping[str, Any], samples: Mapping[str, Sequence[Sample]], more: Mapping[str, Any]
) -> str:
    """Markdown: the circumstances, the goals, the contenders."""
    rounds = max(len(taken) for taken in samples.values())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{suite}, {machine['date']}, revision {machine['revision']}; {machine['processor']} "
        f"({', '.join(machine['vector_instructions'])}), {machine['memory_gb']} GB; {versions}.",
        f"Load average {machine['load_average']:.1f} at the start, niceness of the run {machine['nice']} (of its "
        f"session {machine['session_nice']}), beside it: {', '.join(machine['other_work']) or 'nothing'}. Medians of "
        f"{rounds} interleaved rounds; in brackets the slowest and fastest round.",
        "",
        *_goal_table(judge(suite, samples), more),
        "",
        _line(_HEAD),
        _line(["---"] * len(_HEAD)),
        *(_line(_cells(name, taken)) for name, taken in samples.items()),
    ]
    return "\n".join(lines) + "\n"


def _goal_table(verdicts: Sequence[Verdict], more: Mapping[str, Any]) -> list[str]:
    lines = [_line(("ratio", "goal", "measured", "p99 ms", "met")), _line(["---"] * 5)]
    for verdict in verdicts:
        found = verdict.ratio
        p99 = "" if verdict.p99_ms is None else f"{verdict.p99_ms[0]:.0f} : {verdict.p99_ms[1]:.0f}"
        measured = f"{found.of_medians:.2f} ({found.low:.2f} to {found.high:.2f})"
        lines.append(_line((verdict.title, f"{verdict.least:.2f}", measured, p99, "yes" if verdict.met else "**no**")))
    if "map_embed" in more:
        value = more["map_embed"]["ratio"]
        lines.append(
            _line(("map embed / the same requests", "0.90", f"{value:.2f}", "", "yes" if value >= 0.9 else "**no**"))
        )
    return lines


def _cells(name: str, taken: Sequence[Sample]) -> list[str]:
    row = combine(taken)
    middle = row.median
    return [
        *name.split(" | "),
        f"{middle.images_per_second:.1f} ({row.low:.1f} to {row.high:.1f})",
        *(f"{value:.0f}" for value in (middle.p50, middle.p95, middle.p99)),
        f"{middle.server_cpu_ms:.1f}",
        f"{middle.memory_mb:.0f}",
        f"{middle.resident_mb:.0f}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value else None
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return value
