"""A real server whose queue is full: it is said so, and clients do not make it worse."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from raw_client import pixel_inputs
from tritonclient.grpc import model_config_pb2

from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import ServerOverloaded
from sat2sound.clients.retries import BRIEF, Patience, RetryBudget
from sat2sound.serving.launcher import TritonServer

CALLS = 40
WORK = np.array([150.0, *[np.nan] * 6], np.float32)  # the tiny graph's milliseconds
PIXELS = pixel_inputs()["PIXELS"]
INSISTENT = Patience(seconds=20.0, first=0.01, longest=0.05, tries=10, overloaded=True, share=BRIEF.share)


@pytest.fixture(scope="module")
def crowded(triton_environment: Any, tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One request at work, one in the queue, every other refused."""
    folder = tmp_path_factory.mktemp("crowded") / "repository"
    shutil.copytree(tiny_repository, folder)
    file = folder / "satellite_encoder" / "config.pbtxt"
    config = text_format.Parse(file.read_text(), model_config_pb2.ModelConfig())
    config.dynamic_batching.default_queue_policy.max_queue_size = 1
    file.write_text(text_format.MessageToString(config))
    with TritonServer(folder, environment=triton_environment) as server:
        yield server.grpc_url


def counted(send: Callable[..., Any], counts: list[int]) -> Callable[..., Any]:
    """tritonclient's infer, counting what is sent."""
    lock = threading.Lock()

    def sending(*arguments: Any, **options: Any) -> Any:
        with lock:
            counts[0] += 1
        return send(*arguments, **options)

    return sending


def storm(url: str, patience: Patience) -> tuple[int, int, int]:
    """Requests sent, calls served and calls refused, of as many threads as calls."""
    counts = [0]
    with Sat2SoundClient(url, patience=patience) as client:
        expected = client.embed_pixels(PIXELS, WORK)
        raw = client.connection._client
        raw.infer = counted(raw.infer, counts)

        def call(_: int) -> bool:
            try:
                assert np.abs(client.embed_pixels(PIXELS, WORK) - expected).max() < 1e-5
            except ServerOverloaded:
                return False
            return True

        with ThreadPoolExecutor(CALLS) as pool:
            served = sum(pool.map(call, range(CALLS)))
        with Sat2SoundClient(url) as other:
            assert np.abs(other.embed_pixels(PIXELS, WORK) - expected).max() < 1e-5  # the server is as good as before
    return counts[0], served, CALLS - served


def test_a_full_queue_is_told_and_not_asked_again(crowded: str) -> None:
    sent, served, refused = storm(crowded, BRIEF)
    assert sent == CALLS
    assert served >= 1
    assert refused >= CALLS // 2


def test_insistence_is_bounded_by_the_budget(crowded: str) -> None:
    sent, served, refused = storm(crowded, INSISTENT)
    assert CALLS < sent <= CALLS + RetryBudget.CAPACITY + served * (INSISTENT.share or 0.0)
    assert served >= 1
    assert refused >= 1


def test_the_asyncio_client_does_not_either(crowded: str) -> None:
    async def main() -> None:
        counts = [0]
        async with AsyncSat2SoundClient(crowded, concurrency=CALLS) as client:
            await client.embed_pixels(PIXELS, WORK)
            raw: Any = client.connection._client
            raw.infer = counted(raw.infer, counts)
            calls = (client.embed_pixels(PIXELS, WORK) for _ in range(CALLS))
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert counts == [CALLS]
        refused = sum(isinstance(answer, ServerOverloaded) for answer in answers)
        assert refused >= CALLS // 2
        assert sum(isinstance(answer, np.ndarray) for answer in answers) == CALLS - refused >= 1

    asyncio.run(main())
