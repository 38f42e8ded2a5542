"""Memory of server, gateway and client, and the gateway's readiness, while a soak runs."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.serving import process_tree


@dataclass
class Watched:
    """seconds: when each sample was taken, since the soak began. megabytes: by program, what all of its processes hold.

    unready: how often the gateway did not call itself ready.
    """

    seconds: list[float] = field(default_factory=list)
    megabytes: dict[str, list[float]] = field(default_factory=dict)
    unready: int = 0


async def watch(programs: Mapping[str, list[int]], ready_url: str, every: float, watched: Watched) -> None:
    """Sample until cancelled. programs: name -> process ids."""
    began = time.perf_counter()
    while True:
        memory, ready = await asyncio.to_thread(_sample, programs, ready_url)
        watched.seconds.append(time.perf_counter() - began)
        for name, value in memory.items():
            watched.megabytes.setdefault(name, []).append(value)
        watched.unready += not ready
        await asyncio.sleep(every)


def _sample(programs: Mapping[str, list[int]], ready_url: str) -> tuple[dict[str, float], bool]:
    memory = {name: process_tree.held_megabytes(processes) for name, processes in programs.items()}
    try:
        with urllib.request.urlopen(ready_url, timeout=10) as answer:  # noqa: S310 (loopback)
            return memory, answer.status == 200
    except (urllib.error.URLError, OSError):
        return memory, False
