"""The gateway's Prometheus metrics; names, labels and buckets come from sat2sound.metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sat2sound import metrics
from sat2sound.metrics import LATENCY_BUCKETS_SECONDS, Metric


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=LATENCY_BUCKETS_SECONDS)


class GatewayMetrics:
    """One set of metrics, in a registry of its own so that several gateways fit into one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = _histogram(metrics.REQUEST_DURATION, self.registry)
        self._stages = _histogram(metrics.STAGE_DURATION, self.registry)
        in_flight, refused = metrics.IN_FLIGHT, metrics.REFUSED
        self._in_flight = Gauge(in_flight.name, in_flight.help, in_flight.labels, registry=self.registry)
        self._refused = Counter(refused.name, refused.help, refused.labels, registry=self.registry)

    def answered(self, route: str, outcome: str, seconds: float) -> None:
        """One request has its answer."""
        self._requests.labels(route, outcome).observe(seconds)

    def refused(self, reason: str) -> None:
        """One request was refused before any work."""
        self._refused.labels(reason).inc()

    @contextmanager
    def in_flight(self, route: str) -> Iterator[None]:
        """Counts a request while it is being answered."""
        with self._in_flight.labels(route).track_inprogress():
            yield

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to one of metrics.STAGES, also if it ends by an error."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(name).observe(time.perf_counter() - started)
