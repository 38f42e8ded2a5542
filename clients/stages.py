"""How long each stage of an answer took, from Triton's own statistics before and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from sat2sound.clients.connection import Connection
from sat2sound.clients.deadlines import Deadline

# The stages of `retrieve_sounds` that a person reads about -> the composing model that each one is.
STAGES = {
    "preprocess": "satellite_preprocess",
    "encode": "satellite_encoder",
    "pooling": "satellite_pooling",
    "similarity": "similarity",
    "gallery": "gallery",
}
TOTAL = "total"
MEASURED_REQUESTS = 5
_SETTLE_SECONDS = 2.0  # Triton counts a step only after it has answered it


@dataclass(frozen=True)
class StageTimes:
    """Mean milliseconds per request. stages: by name, queueing included; total: round trip seen by the client."""

    stages: dict[str, float]
    total: float
    requests: int

    @property
    def remainder(self) -> float:
        """What no stage accounts for: transport, scheduling between the steps, the client itself."""
        return max(0.0, self.total - sum(self.stages.values()))

    def to_json(self) -> dict[str, float]:
        """Stage -> milliseconds, `total` last."""
        return {**self.stages, TOTAL: self.total}


def measure(
    connection: Connection, request: Callable[[], object], deadline: Deadline, requests: int = MEASURED_REQUESTS
) -> StageTimes:
    """Run `request` several times, one after another, and see what each stage took.

    Meant for a server that nobody else uses at the moment: the statistics are the server's, not one client's.
    """
    before = _counters(connection, deadline)
    round_trips = []
    for _ in range(requests):
        start = time.perf_counter()
        request()
        round_trips.append((time.perf_counter() - start) * 1000.0)
    after = _counters(connection, deadline)
    settled = time.monotonic() + _SETTLE_SECONDS
    while any(after[model][0] - before[model][0] < requests for model in STAGES.values()):
        if time.monotonic() > settled:
            break
        time.sleep(0.02)
        after = _counters(connection, deadline)
    stages = {}
    for stage, model in STAGES.items():
        count = after[model][0] - before[model][0]
        stages[stage] = (after[model][1] - before[model][1]) / count / 1e6 if count else 0.0
    return StageTimes(stages, mean(round_trips), requests)


def _counters(connection: Connection, deadline: Deadline) -> dict[str, tuple[int, int]]:
    """Model -> requests answered so far, and the nanoseconds that they took in all (queue, input, compute, output)."""
    totals = dict.fromkeys(STAGES.values(), (0, 0))
    for entry in connection.statistics(deadline):
        if entry.name in totals:
            count, nanoseconds = totals[entry.name]
            success = entry.inference_stats.success
            totals[entry.name] = (count + int(success.count), nanoseconds + int(success.ns))
    return totals
