"""Names and buckets of every metric that this project exports; dashboards, rules and tests take them from here.

Triton's own metrics (`nv_*`) are listed only where rules and dashboards use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["counter", "gauge", "histogram"]

# One set for all latencies, fit for 1 ms .. 30 s: about three steps per factor of ten, so that a quantile read from
# them is off by no more than the width of its step.
LATENCY_BUCKETS_SECONDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0),
    *(1.5, 2.5, 5.0, 10.0, 20.0, 30.0),
)


@dataclass(frozen=True)
class Metric:
    """One metric family. name: in Prometheus' base units. labels: in the order in which code passes them."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()


# --- the gateway ----------------------------------------------------------------------------------------------------
REQUEST_DURATION = Metric(
    "sat2sound_gateway_request_duration_seconds",
    "histogram",
    "Time from a request's arrival at the gateway to its answer.",
    ("route", "outcome"),
)
STAGE_DURATION = Metric(
    "sat2sound_gateway_stage_duration_seconds",
    "histogram",
    "Time that a request spent in one stage: fetch, preprocess, queue, inference.",
    ("stage",),
)
IN_FLIGHT = Metric("sat2sound_gateway_requests_in_flight", "gauge", "Requests being answered now.", ("route",))
REFUSED = Metric(
    "sat2sound_gateway_refused_requests_total",
    "counter",
    "Requests refused before any work: overload, too_large, too_slow, unauthenticated, draining, not_offered.",
    ("reason",),
)
GATEWAY = (REQUEST_DURATION, STAGE_DURATION, IN_FLIGHT, REFUSED)

STAGES = ("fetch", "preprocess", "queue", "inference")

# --- python models in Triton (through its custom metrics) -----------------------------------------------------------
STEP_DURATION = Metric(
    "sat2sound_step_duration_seconds",
    "histogram",
    "Time that one request spent in a python step (decoding and resizing, log-mel, tokens, captions of a ranking).",
    ("model",),
)
