"""Ten clients that send 300 MB each: refused, in bounded memory, while a neighbour is served."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from gateway_process import TOKEN, Gateway

from sat2sound.serving.launcher import TritonServer

CLIENTS = 10
MEBIBYTE = 1024 * 1024
SENT = 300 * MEBIBYTE
LIMIT = 48 * MEBIBYTE
TOGETHER = 7 * LIMIT
BODY = {"inputs": [{"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["rain on leaves"]}]}
BLOCK = b"a" * MEBIBYTE


@pytest.fixture(scope="module")
def gateway(tiny_server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    tokens: Path = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(TOKEN)
    limits = (f"--max-request-bytes={LIMIT}", f"--max-bytes-in-flight={TOGETHER}")
    with Gateway((f"--predictor-host={tiny_server.grpc_url}", f"--token-file={tokens}", *limits)) as running:
        yield running


def resident(gateway: Gateway) -> int:
    """Bytes."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def post(gateway: Gateway, chunked: bool) -> str:
    """The status line of the answer to 300 MB by REST."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SENT}"
    head = (
        f"POST /v2/models/embed_text/infer HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {TOKEN}\r\n{length}\r\n\r\n"
    )
    block = b"%x\r\n%b\r\n" % (MEBIBYTE, BLOCK) if chunked else BLOCK
    with socket.create_connection(("127.0.0.1", gateway.http_port), timeout=60) as connection:
        connection.sendall(head.encode())
        for _ in range(SENT // MEBIBYTE):
            connection.sendall(block)
        if chunked:
            connection.sendall(b"0\r\n\r\n")
        return connection.recv(100).decode().partition("\r\n")[0]


def call(gateway: Gateway, payload: bytes) -> str:
    """The gRPC status of 300 MB."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}", options=options) as channel:
        method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            method(payload, metadata=(("authorization", f"Bearer {TOKEN}"),), timeout=60)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def under_siege(gateway: Gateway, attack: Callable[[int], str]) -> tuple[list[str], int, list[tuple[int, float]]]:
    """What the ten were answered, by how many bytes the gateway grew, and a neighbour's (status, seconds)."""
    body = json.dumps(BODY).encode()
    assert gateway.request("POST", "/v2/models/embed_text/infer", body).status == 200
    before = peak = resident(gateway)
    answers: list[str] = []
    neighbour: list[tuple[int, float]] = []
    clients = [threading.Thread(target=lambda n=n: answers.append(attack(n)), daemon=True) for n in range(CLIENTS)]

    def ask() -> None:
        while any(client.is_alive() for client in clients):
            started = time.monotonic()
            status = gateway.request("POST", "/v2/models/embed_text/infer", body).status
            neighbour.append((status, time.monotonic() - started))

    for client in clients:
        client.start()
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    while any(client.is_alive() for client in clients):
        peak = max(peak, resident(gateway))
        time.sleep(0.01)
    asking.join(timeout=60)
    return answers, peak - before, neighbour


def test_rest(gateway: Gateway) -> None:
    answers, grown, neighbour = under_siege(gateway, lambda number: post(gateway, chunked=number % 2 == 1))
    assert answers == ["HTTP/1.1 413 Request Entity Too Large"] * CLIENTS
    assert grown < CLIENTS * LIMIT, "what each may send at most; 3,000 MiB were sent"
    assert {status for status, _ in neighbour} == {200}
    assert max(seconds for _, seconds in neighbour) < 10


def test_grpc(gateway: Gateway) -> None:
    payload = b"a" * SENT
    answers, grown, neighbour = under_siege(gateway, lambda _: call(gateway, payload))
    assert answers == ["RESOURCE_EXHAUSTED"] * CLIENTS
    assert grown < CLIENTS * LIMIT
    assert {status for status, _ in neighbour} == {200}
    assert max(seconds for _, seconds in neighbour) < 10


def test_bodies_are_bounded_together_too(gateway: Gateway) -> None:
    head = f"POST /v2/models/embed_text/infer HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {TOKEN}\r\n"
    large = f"{head}Content-Length: {LIMIT}\r\n\r\n".encode()
    places = TOGETHER // LIMIT
    senders = [socket.create_connection(("127.0.0.1", gateway.http_port), timeout=60) for _ in range(places)]
    try:
        for sender in senders:
            sender.sendall(large + BLOCK)  # the rest keeps one waiting
        small = json.dumps(BODY).encode()
        ends = time.monotonic() + 20
        while gateway.request("POST", "/v2/models/embed_text/infer", small).status == 200:
            assert time.monotonic() < ends, "seven bodies of the largest size fill the gateway"
            time.sleep(0.05)
        refused = gateway.request("POST", "/v2/models/embed_text/infer", small)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    finally:
        for sender in senders:
            sender.close()
    ends = time.monotonic() + 20
    while gateway.request("POST", "/v2/models/embed_text/infer", small).status != 200:  # they have left
        assert time.monotonic() < ends
        time.sleep(0.05)
