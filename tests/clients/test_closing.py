"""Clients that are closed leave no connection, no descriptor and no thread behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.serving.launcher import TritonServer

WORDS = ["waves"] * 40  # several requests, so that the blocking client has its threads, too


def use_blocking(url: str) -> None:
    for _ in range(8):
        with Sat2SoundClient(url) as client:
            client.embed_text(WORDS)


def use_asyncio(url: str) -> None:
    async def use() -> None:
        for _ in range(8):
            async with AsyncSat2SoundClient(url) as client:
                await client.embed_text(WORDS)

    asyncio.run(use())


def held() -> tuple[int, int]:
    """File descriptors and threads of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count()


@pytest.mark.parametrize("use", [use_blocking, use_asyncio])
def test_nothing_is_left(tiny_server: TritonServer, use: Callable[[str], None]) -> None:
    use(tiny_server.grpc_url)  # what a process needs once
    before = held()
    for _ in range(3):
        use(tiny_server.grpc_url)
    settled = time.monotonic() + 5
    while any(now > then for now, then in zip(held(), before, strict=True)) and time.monotonic() < settled:
        time.sleep(0.1)
    assert all(now <= then for now, then in zip(held(), before, strict=True)), (before, held())
