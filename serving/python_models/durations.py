"""How long a python step takes, as a histogram beside Triton's own metrics."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sat2sound.metrics import LATENCY_BUCKETS_SECONDS, STEP_DURATION


class StepDurations:
    """Observations of one model; every instance and process of it adds to the same series.

    pb_utils: Triton's module. A server without custom histograms (or with custom metrics switched off) counts nothing.
    """

    def __init__(self, pb_utils: Any, model: str) -> None:
        try:
            self._family = pb_utils.MetricFamily(
                name=STEP_DURATION.name, description=STEP_DURATION.help, kind=pb_utils.MetricFamily.HISTOGRAM
            )
            self._metric = self._family.Metric(labels={"model": model}, buckets=list(LATENCY_BUCKETS_SECONDS))
            for kept in (self._family, self._metric):
                # Never freed: their destructors ask the server, and a stub whose server was killed dies of that before
                # it has removed its shared memory (seen on 2.51).
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        except (AttributeError, pb_utils.TritonModelException):
            self._metric = None

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Adds the time spent inside, also if it ends by an error."""
        started = time.perf_counter()
        try:
            yield
        finally:
            if self._metric is not None:
                self._metric.observe(time.perf_counter() - started)
