"""One address or several: requests go round, and a server that goes away costs none of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_client import pixel_inputs

from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.clients.channel import check_address, target
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.connection import Connection
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import ServerUnavailable
from sat2sound.clients.retries import Patience
from sat2sound.errors import InvalidInput
from sat2sound.serving.launcher import TritonServer


def test_several_addresses() -> None:
    several = "10.0.0.1:8001,10.0.0.2:8001"
    assert check_address(several) == several
    assert target(several) == f"ipv4:{several}"
    assert target("[::1]:1,[::2]:2") == "ipv6:[::1]:1,[::2]:2"
    assert target("triton-headless.sounds.svc:8001") == "triton-headless.sounds.svc:8001"


@pytest.mark.parametrize("url", ["a.example:1,b.example:1", "10.0.0.1:1,[::1]:1", "10.0.0.1:1,other:1"])
def test_names_do_not_go_in_lists(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"not all IPv4 or all IPv6.*headless"):
        check_address(url)


def test_a_long_call_is_not_taken_for_an_attack(tiny_server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton ends connections with "too many pings"; a ping each 0.3 s stands for those of minutes."""
    monkeypatch.setattr("sat2sound.clients.channel.KEEPALIVE_MILLISECONDS", 300)
    start = time.monotonic()
    connection = Connection(tiny_server.grpc_url, patience=Patience(seconds=0.0))
    answer = connection.infer("embed_pixels", pixel_inputs(gsd=2000.0), Deadline(60))  # the tiny graph's milliseconds
    connection.close()
    assert answer["EMBEDDING"].shape == (1, 256)
    assert time.monotonic() - start > 1.5


@pytest.fixture
def two(triton_environment: Any, tiny_repository: Path) -> Iterator[tuple[TritonServer, TritonServer]]:
    with (
        TritonServer(tiny_repository, environment=triton_environment) as one,
        TritonServer(tiny_repository, environment=triton_environment) as other,
    ):
        yield one, other


def served(server: TritonServer) -> int:
    """Requests that this server has answered."""
    connection = Connection(server.grpc_url)
    try:
        counts = {entry.name: entry.inference_stats.success.count for entry in connection.statistics(Deadline(10))}
    finally:
        connection.close()
    return int(counts["embed_text"])


def test_requests_go_round_and_outlive_a_server(two: tuple[TritonServer, TritonServer]) -> None:
    url = ",".join(server.grpc_url for server in two)
    with Sat2SoundClient(url) as client:
        expected = client.embed_text("waves")
        for _ in range(40):
            assert np.array_equal(client.embed_text("waves"), expected)
    counts = [served(server) for server in two]
    assert sum(counts) == 41
    assert min(counts) >= 10, counts

    async def while_one_goes() -> tuple[int, list[str]]:
        right, wrong, going = 0, [], True

        async def ask(client: AsyncSat2SoundClient) -> None:
            nonlocal right
            while going:
                try:
                    right += bool(np.allclose(await client.embed_text("waves"), expected, atol=2e-6))
                except ServerUnavailable as error:
                    wrong.append(str(error))

        async with AsyncSat2SoundClient(url) as client:
            asking = [asyncio.create_task(ask(client)) for _ in range(4)]
            await asyncio.sleep(0.5)
            await asyncio.to_thread(two[0].stop)
            after, end = right, time.monotonic() + 20
            while right < after + 50 and time.monotonic() < end:
                await asyncio.sleep(0.05)
            going = False
            await asyncio.gather(*asking)
        return right - after, wrong

    afterwards, wrong = asyncio.run(while_one_goes())
    assert wrong == []
    assert afterwards >= 50  # the other one serves on
