"""How many requests are answered at once, how many may wait, and when no more are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sat2sound.serving.gateway.metrics import GatewayMetrics
from sat2sound.serving.gateway.refusals import Draining, Overloaded


class Capacity:
    """Admits requests. concurrency: answered at once; waiting: further ones that wait for their turn.

    max_bytes: of the bodies of all of them together.
    """

    def __init__(self, concurrency: int, waiting: int, max_bytes: int, metrics: GatewayMetrics) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._limit, self._max_bytes = concurrency + waiting, max_bytes
        self._bytes = 0
        self._metrics = metrics
        self._admitted = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def admitted(self) -> int:
        """Requests that are being answered or wait."""
        return self._admitted

    @asynccontextmanager
    async def admit(self, size: int) -> AsyncIterator[None]:
        """A place for one request whose body has so many bytes (or will have at most, where it is still to be read).

        Raises Overloaded or Draining instead of waiting without bound.
        """
        if self._draining:
            raise Draining
        if self._admitted >= self._limit or (self._admitted and self._bytes + size > self._max_bytes):
            raise Overloaded
        self._admitted += 1
        self._bytes += size
        self._idle.clear()
        try:
            with self._metrics.stage("queue"):
                await self._slots.acquire()
            try:
                yield
            finally:
                self._slots.release()
        finally:
            self._admitted -= 1
            self._bytes -= size
            if not self._admitted:
                self._idle.set()

    async def drain(self, seconds: float) -> bool:
        """Take no more, and wait until those admitted have their answer; whether that was so in time."""
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
