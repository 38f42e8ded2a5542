"""A closed loop: so many callers at a time, each sending its next request when the last one is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.serving.sample import Sample

Call = Callable[[int], object]
CLOCK = time.perf_counter


def closed_loop(
    caller: Callable[[], AbstractContextManager[Call]], concurrency: int, seconds: float, warm_up: float
) -> tuple[Sample, int]:
    """Images per second and latencies in a window that opens after the warm-up, while every caller is busy.

    caller: makes one caller's connection; what it gives is called with the number of the request, one image each.
    Returns the sample and how many requests were answered in all. What a call raises ends the run and is raised.
    """
    answered: list[tuple[float, float]] = []
    problems: list[BaseException] = []
    stop = threading.Event()

    def work(first: int) -> None:
        try:
            with caller() as call:
                number = first
                while not stop.is_set():
                    started = CLOCK()
                    call(number)
                    answered.append((CLOCK(), CLOCK() - started))
                    number += concurrency
        except BaseException as problem:
            problems.append(problem)
            stop.set()

    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(concurrency)]
    opens = CLOCK() + warm_up
    for thread in threads:
        thread.start()
    stop.wait(warm_up + seconds)
    stop.set()
    closes = opens + seconds
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    latencies = [1000 * taken for ended, taken in answered if opens <= ended < closes]
    return Sample.from_latencies(len(latencies) / seconds, latencies), len(answered)
