"""Addresses, deadlines and peers that are no Triton server."""

from __future__ import annotations

import socket
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from sat2sound.clients.channel import check_address
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import AccessDenied, DeadlineExceeded, NotServed, ServerUnreachable
from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.serving.launcher import TritonServer


@pytest.mark.parametrize("url", ["localhost:8001", "10.1.2.3:1", "[::1]:65535", "triton-0.triton.ns.svc:8001"])
def test_addresses(url: str) -> None:
    assert check_address(url) == url


@pytest.mark.parametrize("url", ["http://localhost:8001", "localhost", "localhost:0", "localhost:70000", ":8001", ""])
def test_no_addresses(url: str) -> None:
    with pytest.raises(InvalidInput, match="host:port without a scheme"):
        Sat2SoundClient(url)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_deadline_is_a_positive_number(seconds: float) -> None:
    with pytest.raises(InvalidInput, match="positive number"):
        Deadline(seconds)


def test_a_deadline_runs_out() -> None:
    deadline = Deadline(0.02)
    assert 0 < deadline.remaining() <= 0.02
    time.sleep(0.03)
    with pytest.raises(DeadlineExceeded, match=r"within 0\.02 seconds"):
        deadline.remaining()


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Sat2SoundClient(f"127.0.0.1:{port}") as client:
        start = time.monotonic()
        with pytest.raises(ServerUnreachable, match=f"127.0.0.1:{port}.*sat2sound serve"):
            client.embed_text("waves")
        assert time.monotonic() - start < 10  # says so at once, long before the deadline of 60 seconds


def test_an_http_server_is_told_apart() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        client = Sat2SoundClient(f"127.0.0.1:{server.server_port}")
        with client, pytest.raises((ServerUnreachable, DeadlineExceeded), match="fix it"):
            client.embed_text("waves", deadline=3)
        thread.join()


def test_a_grpc_server_that_is_not_triton() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        client = Sat2SoundClient(f"127.0.0.1:{port}")
        with client, pytest.raises(NotServed, match="Triton server's gRPC port"):
            client.embed_text("waves")
    finally:
        server.stop(None).wait()


def test_a_silent_peer_costs_no_more_than_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Sat2SoundClient(f"127.0.0.1:{listener.getsockname()[1]}")
        start = time.monotonic()
        with client, pytest.raises(DeadlineExceeded, match="raise the deadline"):
            client.embed_text("waves", deadline=0.5)
        assert 0.4 < time.monotonic() - start < 5


def test_a_server_that_wants_a_key(
    triton_environment: Any, tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants = ("--grpc-restricted-protocol=inference:sat2sound-inference=secret",)
    with TritonServer(tiny_repository, environment=triton_environment, arguments=wants) as server:
        with (
            Sat2SoundClient(server.grpc_url) as client,
            pytest.raises(AccessDenied, match="SAT2SOUND_INFERENCE_KEY_FILE"),
        ):
            client.embed_text("waves")
        key = tmp_path / "key"
        key.write_text("secret\n")
        monkeypatch.setenv("SAT2SOUND_INFERENCE_KEY_FILE", str(key))
        with Sat2SoundClient(server.grpc_url) as client:
            assert client.embed_text("waves").shape == (1, 256)
    monkeypatch.setenv("SAT2SOUND_INFERENCE_KEY_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match=r"absent \(SAT2SOUND_INFERENCE_KEY_FILE\) cannot be read"):
        Sat2SoundClient("localhost:8001")
