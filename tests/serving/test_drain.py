"""Requests in flight while the server is told to stop, on a real server whose requests take as long as we like."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from raw_client import Running, infer, pixel_inputs
from tritonclient.utils import InferenceServerException

from sat2sound.serving.child import group_members
from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.launcher import TritonServer

COMMAND = Path(sys.executable).with_name("sat2sound")
SLOW = 1500.0  # GSD: about so many milliseconds in the tiny encoder, more on a busy machine


@pytest.fixture
def slow_server(triton_environment: ServingEnvironment, tiny_repository: Path) -> Iterator[TritonServer]:
    """A server of this test's own, to stop."""
    with TritonServer(tiny_repository, environment=triton_environment) as server:
        yield server


def in_flight(url: str, count: int, gsd: float = SLOW) -> list[Running]:
    """Slow requests of different shapes, so that they are queued behind each other, not batched."""
    running = [Running(url, "embed_pixels", pixel_inputs(1 + number, gsd=gsd, seed=number)) for number in range(count)]
    time.sleep(0.4)
    assert not any(request.done() for request in running)
    return running


def grpc_ready(url: str) -> bool:
    with triton.InferenceServerClient(url) as client:
        return bool(client.is_server_ready())


def test_what_was_accepted_is_answered_and_nothing_new_is(slow_server: TritonServer, tiny_server: TritonServer) -> None:
    url = slow_server.grpc_url
    requests = in_flight(url, 3)
    group = slow_server.pid
    stopped: list[bool] = []
    stopping = threading.Thread(target=lambda: stopped.append(slow_server.stop()))
    stopping.start()
    deadline = time.monotonic() + 5
    while grpc_ready(url) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not slow_server.control.is_ready()
    time.sleep(0.3)  # the refusal comes just after the loss of readiness
    with pytest.raises(InferenceServerException, match="no available versions"):
        infer(url, "embed_pixels", pixel_inputs(1))
    assert not any(request.done() for request in requests), "the drain is waited for, not skipped"
    assert group_members(group)
    for number, request in enumerate(requests):
        expected = infer(tiny_server.grpc_url, "embed_pixels", pixel_inputs(1 + number, seed=number))
        np.testing.assert_allclose(request.result()["EMBEDDING"], expected["EMBEDDING"], atol=1e-5)
    stopping.join(timeout=30)
    assert stopped == [True]
    assert not group_members(group)


def test_draining_alone_leaves_the_server_up_but_out_of_service(slow_server: TritonServer) -> None:
    assert slow_server.drain()
    assert slow_server.running()
    assert not slow_server.ready()
    assert slow_server.control.is_live()
    assert slow_server.stop()


def test_load_balancers_are_given_notice(slow_server: TritonServer) -> None:
    drained: list[bool] = []
    draining = threading.Thread(target=lambda: drained.append(slow_server.drain(notice=2.0)))
    draining.start()
    deadline = time.monotonic() + 5
    while slow_server.control.is_ready() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert infer(slow_server.grpc_url, "embed_pixels", pixel_inputs(2))["EMBEDDING"].shape == (2, 256)
    draining.join(timeout=30)
    assert drained == [True]
    with pytest.raises(InferenceServerException, match="no available versions"):
        infer(slow_server.grpc_url, "embed_pixels", pixel_inputs(2))


def test_a_drain_that_takes_too_long_is_cut_off_and_says_so(
    triton_environment: ServingEnvironment, tiny_repository: Path
) -> None:
    server = TritonServer(tiny_repository, environment=triton_environment, exit_seconds=1).start()
    group = server.pid
    (request,) = in_flight(server.grpc_url, 1, gsd=60_000)
    started = time.monotonic()
    assert not server.stop(timeout=0.5)
    assert time.monotonic() - started < 20
    assert not group_members(group)
    with pytest.raises(InferenceServerException):
        request.result()


def test_a_drain_can_be_cut_short(slow_server: TritonServer) -> None:
    (request,) = in_flight(slow_server.grpc_url, 1, gsd=60_000)
    started = time.monotonic()
    assert not slow_server.stop(cancelled=lambda: time.monotonic() - started > 0.5)
    assert time.monotonic() - started < 4
    with pytest.raises(InferenceServerException):
        request.result()


class Command:
    """`sat2sound serve` in a process of its own."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self._said = folder / "said"
        ports = [option for name in ("grpc", "http", "metrics") for option in (f"--{name}-port", "0")]
        with self._said.open("w") as said:
            arguments = [str(COMMAND), "serve", "--repository", str(repository), *ports]
            self.process = subprocess.Popen(arguments, stdout=said, stderr=said)
        deadline = time.monotonic() + 60
        while not (found := re.search(r"serving: gRPC (\S+),", self.said())):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)
        self.url = found[1]

    def said(self) -> str:
        return self._said.read_text()


@pytest.fixture
def command(tiny_repository: Path, tmp_path: Path, triton_environment: ServingEnvironment) -> Iterator[Command]:
    started = Command(tiny_repository, tmp_path)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_to_the_command_lets_requests_in_flight_finish(command: Command, number: signal.Signals) -> None:
    requests = in_flight(command.url, 2)
    command.process.send_signal(number)
    for number_of_items, request in enumerate(requests, 1):
        assert request.result()["EMBEDDING"].shape == (number_of_items, 256)
    assert command.process.wait(timeout=30) == 0, command.said()


def test_a_second_signal_stops_at_once(command: Command) -> None:
    (request,) = in_flight(command.url, 1, gsd=60_000)
    command.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert command.process.poll() is None
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(timeout=5) != 0
    with pytest.raises(InferenceServerException):
        request.result()
