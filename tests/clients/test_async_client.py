"""The asyncio client against the real server: the same numbers, bounded, in time, and cancelled as a whole."""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import made_inputs
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from raw_client import pixel_inputs

from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.clients.async_connection import AsyncConnection
from sat2sound.clients.batches import serve_async
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import (
    DeadlineExceeded,
    InvalidItems,
    InvalidRequest,
    RequestCancelled,
    ServerFault,
    ServerUnreachable,
)
from sat2sound.serving.launcher import TritonServer

pytestmark = pytest.mark.asyncio
SAME = 1e-5
SLOW = np.array([1000.0, *[np.nan] * 6], np.float32)  # seconds of work for the tiny graph: its GSD in milliseconds


@pytest_asyncio.fixture
async def client(server: TritonServer) -> AsyncIterator[AsyncSat2SoundClient]:
    async with AsyncSat2SoundClient(server.grpc_url) as connected:
        yield connected


def images(count: int) -> list[bytes]:
    scene = np.asarray(made_inputs.picture())
    return [made_inputs.encoded(Image.fromarray(np.roll(scene, 9 * index, axis=1))) for index in range(count)]


async def test_the_methods_are_those_of_the_other_client() -> None:
    def methods(client: type) -> dict[str, Any]:
        return {
            name: inspect.signature(method)
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(AsyncSat2SoundClient) == methods(Sat2SoundClient)


async def test_the_same_numbers(client: AsyncSat2SoundClient, server: TritonServer) -> None:
    scenes, sounds = images(3), [made_inputs.recording(2.0), made_inputs.recording(3.0, kind="FLAC")]
    texts = ["waves on a beach", "traffic"]
    with Sat2SoundClient(server.grpc_url) as blocking:
        queries = blocking.embed_text(texts)
        pairs = [
            (await client.embed_satellite(scenes, month=7), blocking.embed_satellite(scenes, month=7)),
            (await client.embed_audio(sounds, offset_seconds=0.5), blocking.embed_audio(sounds, offset_seconds=0.5)),
            (await client.embed_text(texts), queries),
            (await client.score_queries(scenes, queries), blocking.score_queries(scenes, queries)),
        ]
        for ours, theirs in pairs:
            assert ours.dtype == np.float32
            assert np.abs(ours - theirs).max() < SAME
        by_image = await client.retrieve_sounds(scenes, top_k=4)
        by_embedding = await client.search_gallery(pairs[0][0], top_k=4)
        assert [[sound.id for sound in ranking] for ranking in by_image] == [
            [sound.id for sound in ranking] for ranking in blocking.retrieve_sounds(scenes, top_k=4)
        ]
        assert [len(ranking) for ranking in by_embedding] == [4, 4, 4]
        assert await client.server_version() == blocking.server_version()


async def test_many_calls_at_once_keep_their_order(client: AsyncSat2SoundClient) -> None:
    texts = [f"{number} birds" for number in range(20)]
    together = await client.embed_text(texts * 4)  # several requests
    assert np.abs(together.reshape(4, 20, -1) - together[:20]).max() < SAME
    apart = await asyncio.gather(*(client.embed_text(text) for text in texts))
    assert np.abs(np.concatenate(apart) - together[:20]).max() < SAME
    assert np.abs(together[0] - together[1]).max() > 3 * SAME


async def test_refused_items_leave_the_others_served(client: AsyncSat2SoundClient) -> None:
    scenes = images(4)
    reference = await client.embed_satellite(scenes)
    with pytest.raises(InvalidItems, match="10 of 50 items were refused") as caught:
        await client.embed_satellite([*scenes, b"no image"] * 10)
    assert sorted(caught.value.items) == list(range(4, 50, 5))
    served = caught.value.results.reshape(10, 5, -1)
    assert np.isnan(served[:, 4]).all()
    assert np.abs(served[:, :4] - reference).max() < SAME
    with pytest.raises(InvalidRequest, match="the bytes are not an image"):
        await client.embed_satellite(b"no image")


class Counting(AsyncConnection):
    """Counts what is on its way."""

    now = most = begun = 0

    async def infer(self, *arguments: Any) -> Any:
        self.now, self.begun = self.now + 1, self.begun + 1
        self.most = max(self.most, self.now)
        try:
            return await super().infer(*arguments)
        finally:
            self.now -= 1


async def test_requests_on_their_way_are_bounded_and_cancelled_together(tiny_server: TritonServer) -> None:
    pixels, conditions = pixel_inputs(batch=160)["PIXELS"], np.full(7, np.nan, np.float32)
    refused = pixel_inputs(batch=160, gsd=9.0)
    refused["LATITUDE"][0] = 91.0  # which the tiny graph fails at
    async with AsyncSat2SoundClient(tiny_server.grpc_url, concurrency=3) as client:
        counting = client.connection = Counting(tiny_server.grpc_url)
        conditions[0] = 9.0
        await asyncio.gather(*(client.embed_pixels(pixels, conditions) for _ in range(2)))
        assert (counting.begun, counting.most) == (20, 3)
        begun = counting.begun
        with pytest.raises(ServerFault):
            await serve_async(counting, "embed_pixels", refused, Deadline(30), asyncio.Semaphore(3))
        assert counting.now == 0  # nothing of a failed call is left behind
        assert counting.begun - begun < 10
        task = asyncio.create_task(client.embed_pixels(pixels, conditions))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert counting.now == 0
        assert (await client.embed_pixels(pixels[:1], conditions)).shape == (1, 256)


async def test_waiting_for_a_slot_is_within_the_deadline(tiny_server: TritonServer) -> None:
    pixels = pixel_inputs(batch=16)["PIXELS"]
    async with AsyncSat2SoundClient(tiny_server.grpc_url, concurrency=1) as client:
        slow = asyncio.create_task(client.embed_pixels(pixels, SLOW))
        await asyncio.sleep(0.1)
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="raise the deadline"):
            await client.embed_text("waves", deadline=0.3)
        assert time.monotonic() - start < 1.5
        assert (await slow).shape == (16, 256)


async def test_closing_ends_what_is_in_flight(tiny_server: TritonServer) -> None:
    pixels = pixel_inputs(batch=16)["PIXELS"]
    client = AsyncSat2SoundClient(tiny_server.grpc_url)
    slow = asyncio.create_task(client.embed_pixels(pixels, SLOW))
    await asyncio.sleep(0.3)
    await client.close()
    with pytest.raises(RequestCancelled, match="was closed"):
        await slow
    with pytest.raises(RequestCancelled, match="is closed"):
        await client.embed_text("waves")


async def test_nobody_listens(unused_tcp_port_factory: Callable[[], int]) -> None:
    async with AsyncSat2SoundClient(f"127.0.0.1:{unused_tcp_port_factory()}") as client:
        start = time.monotonic()
        with pytest.raises(ServerUnreachable, match="sat2sound serve"):
            await client.embed_text("waves")
        assert time.monotonic() - start < 10


async def test_nothing_is_left_open(tiny_server: TritonServer) -> None:
    async def use() -> None:
        async with AsyncSat2SoundClient(tiny_server.grpc_url) as client:
            await client.embed_text("waves")

    await use()
    sockets = _connections(tiny_server)
    for _ in range(5):
        await use()
    gc.collect()
    await asyncio.sleep(0.2)
    assert _connections(tiny_server) <= sockets


def _connections(server: TritonServer) -> int:
    """TCP connections of this machine to the server's gRPC port that are established (state 01)."""
    from pathlib import Path

    port = f":{server.grpc_port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(fields[2].endswith(port) and fields[3] == "01" for fields in lines)
