"""One caller of each kind for `closed_loop`: plain HTTP, and our client."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.serving.closed_loop import CLOCK, Call
from benchmarks.serving.payloads import COUNT, pictures, pixels, unknown_conditions
from benchmarks.serving.sample import Sample
from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.clients.client import Sat2SoundClient


def http_caller(
    port: int, path: str, bodies: list[bytes], headers: dict[str, str]
) -> Callable[[], AbstractContextManager[Call]]:
    """POSTs one prepared body after the other over one connection. Anything but 200 is an error."""

    @contextmanager
    def caller() -> Iterator[Call]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

        def call(number: int) -> None:
            connection.request("POST", path, bodies[number % len(bodies)], headers)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise RuntimeError(f"{path} was answered {response.status}: {body[:300]!r}")

        try:
            yield call
        finally:
            connection.close()

    return caller


def client_caller(url: str, model: str) -> Callable[[], AbstractContextManager[Call]]:
    """`Sat2SoundClient`, one for each caller."""

    @contextmanager
    def caller() -> Iterator[Call]:
        with Sat2SoundClient(url) as client:
            if model == "embed_pixels":
                nothing = unknown_conditions()
                yield lambda number: client.embed_pixels(pixels()[[number % COUNT]], nothing)
            else:
                yield lambda number: client.embed_satellite(pictures()[number % COUNT])

    return caller


def async_client_loop(url: str, concurrency: int, seconds: float, warm_up: float) -> tuple[Sample, int]:
    """`closed_loop` with embed_pixels of one `AsyncSat2SoundClient`."""
    return asyncio.run(_async_client_loop(url, concurrency, seconds, warm_up))


async def _async_client_loop(url: str, concurrency: int, seconds: float, warm_up: float) -> tuple[Sample, int]:
    answered: list[tuple[float, float]] = []
    nothing = unknown_conditions()
    opens = CLOCK() + warm_up
    closes = opens + seconds

    async def work(client: AsyncSat2SoundClient, number: int) -> None:
        while CLOCK() < closes:
            started = CLOCK()
            await client.embed_pixels(pixels()[[number % COUNT]], nothing)
            answered.append((CLOCK(), CLOCK() - started))
            number += concurrency

    async with AsyncSat2SoundClient(url, concurrency=concurrency) as client:
        await asyncio.gather(*(work(client, number) for number in range(concurrency)))
    latencies = [1000 * taken for ended, taken in answered if opens <= ended < closes]
    return Sample.from_latencies(len(latencies) / seconds, latencies), len(answered)
