"""Whether a soak has shown what it should: what is violated, and the run as JSON and tables."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.soak.load import Record
from benchmarks.soak.watch import Watched

WARM_UP = 0.25  # of the soak: caches, pools and buffers fill
GROWTH_SHARE, GROWTH_MEGABYTES = 0.05, 16.0  # what memory may grow afterwards: the larger of the two
OFFERED_SHARE = 0.95  # of the intended load: less has not been a test
GOODPUT_SHARE = 0.5  # of the capacity that is still answered: refusing must not eat it up
_ROWS = 10


def growth(seconds: Sequence[float], megabytes: Sequence[float]) -> tuple[float, float]:
    """Median MB after warm-up, and how many MB the memory grew in that time by its trend.

    The trend is the median of the slopes between any two samples (Theil-Sen): bodies of requests that are in flight, or
    wait in a moment in which the machine was busy elsewhere, come and go, and are no growth.
    """
    moments, values = np.array(seconds), np.array(megabytes)
    kept = moments >= WARM_UP * moments[-1]
    moments, values = moments[kept], values[kept]
    first, second = np.triu_indices(len(moments), 1)
    if not len(first):
        return float(np.median(values)), 0.0
    slope = np.median((values[second] - values[first]) / (moments[second] - moments[first]))
    return float(np.median(values)), float(slope * (moments[-1] - moments[0]))


def violations(record: Record, watched: Watched, *, offered: float, capacity: float, seconds: float) -> list[str]:
    """What should not have happened, in words; empty if all is well. offered, capacity: requests per second."""
    found = []
    if record.wrong:
        found.append(f"{sum(record.wrong.values())} wrong answers: {dict(record.wrong)}")
    if record.hung:
        found.append(f"{record.hung} calls hung past their deadline")
    for kind, count in record.others.items():
        found.append(f"{count} calls ended with {kind} instead of a refusal: {record.messages.get(kind, '')}")
    sent = len(record.asked) / max(seconds, record.asked[-1])  # the last ones are late where the client was
    if sent < OFFERED_SHARE * offered:
        found.append(f"only {sent:.1f} of {offered:.1f} requests per second were sent: this was no such load")
    if offered > 1.2 * capacity and not record.refused:
        found.append("nothing was refused although more was asked than can be answered")
    if len(record.answered) / seconds < GOODPUT_SHARE * min(offered, capacity):
        found.append(f"only {len(record.answered) / seconds:.1f} requests per second were answered")
    for program, values in watched.megabytes.items():
        usual, grown = growth(watched.seconds, values)
        if grown > max(GROWTH_SHARE * usual, GROWTH_MEGABYTES):
            found.append(f"memory of {program} (about {usual:.0f} MB) grew by {grown:.0f} MB after warm-up")
    if watched.unready:
        found.append(f"the gateway did not call itself ready {watched.unready} times")
    return found


def as_json(
    circumstances: Mapping[str, Any], record: Record, watched: Watched, load: Mapping[str, float], found: Sequence[str]
) -> dict[str, Any]:
    """Everything that the tables are made of."""
    return {
        "machine": dict(circumstances),
        "load": dict(load),
        "asked": len(record.asked),
        "answered": len(record.answered),
        "answered_by_method": dict(record.answered_by_method),
        "refused": len(record.refused),
        "wrong": dict(record.wrong),
        "other_errors": dict(record.others),
        "messages": record.messages,
        "hung": record.hung,
        "unready": watched.unready,
        "memory": {
            "seconds": watched.seconds,
            "megabytes": watched.megabytes,
            "growth": {name: growth(watched.seconds, values)[1] for name, values in watched.megabytes.items()},
        },
        "timeline": _timeline(record, watched, load["seconds"]),
        "violations": list(found),
    }


def as_table(document: Mapping[str, Any]) -> str:
    """Markdown."""
    machine, load = document["machine"], document["load"]
    lines = [
        f"{machine['date']}, revision {machine['revision']}; {machine['processor']}, {machine['memory_gb']} GB; load "
        f"average {machine['load_average']:.1f} before it began.",
        "",
        f"Capacity {load['capacity']:.1f} requests/s ({load['callers']:.0f} callers, closed loop); asked "
        f"{load['rate']:.1f} requests/s for {load['seconds']:.0f} s: {document['asked']:,} requests, "
        f"{document['answered']:,} answered as expected, {document['refused']:,} refused (ServerOverloaded), "
        f"{sum(document['wrong'].values())} wrong, {sum(document['other_errors'].values())} other errors, "
        f"{document['hung']} hung, {document['unready']} times not ready.",
        "",
        "| seconds | asked/s | answered/s | refused/s | p50 ms | p99 ms | "
        + " | ".join(f"{name} MB" for name in document["memory"]["megabytes"])
        + " |",
        "|" + " --- |" * (6 + len(document["memory"]["megabytes"])),
    ]
    for row in document["timeline"]:
        numbers = [f"{row[name]:.1f}" for name in ("asked", "answered", "refused")]
        numbers += [f"{row[name]:.0f}" for name in ("p50", "p99")]
        numbers += [f"{value:.0f}" for value in row["megabytes"].values()]
        lines.append(f"| {row['from']:.0f} to {row['to']:.0f} | {' | '.join(numbers)} |")
    grown = ", ".join(f"{name} {value:+.1f} MB" for name, value in document["memory"]["growth"].items())
    lines += ["", f"Memory after warm-up, by its trend: {grown}.", ""]
    lines += [*(f"VIOLATED: {problem}" for problem in document["violations"])]
    lines.append("Nothing is violated." if not document["violations"] else "")
    return "\n".join(lines).rstrip() + "\n"


def _timeline(record: Record, watched: Watched, seconds: float) -> list[dict[str, Any]]:
    edges = np.linspace(0.0, seconds, _ROWS + 1)
    answered, latencies = np.array(record.answered), np.array(record.latencies)
    rows = []
    for start, end in itertools.pairwise(edges):
        inside = (answered >= start) & (answered < end)
        p50, p99 = np.percentile(1000 * latencies[inside], (50, 99)) if inside.any() else (np.nan, np.nan)
        sampled = [place for place, moment in enumerate(watched.seconds) if start <= moment < end]
        rows.append({
            "from": float(start),
            "to": float(end),
            "asked": _per_second(record.asked, start, end),
            "answered": float(inside.sum() / (end - start)),
            "refused": _per_second(record.refused, start, end),
            "p50": float(p50),
            "p99": float(p99),
            "megabytes": {
                name: statistics.median(values[place] for place in sampled) if sampled else float("nan")
                for name, values in watched.megabytes.items()
            },
        })  # fmt: skip
    return rows


def _per_second(moments: Sequence[float], start: float, end: float) -> float:
    found = np.array(moments)
    return float(((found >= start) & (found < end)).sum() / (end - start))
