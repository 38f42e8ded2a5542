"""The whole way to stop, with the gateway in front: one of two Tritons drains and ends, then the gateway itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gateway_process import Gateway
from raw_client import Running, pixel_inputs

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import ClientError, ServerDraining, ServerUnavailable
from sat2sound.clients.retries import Patience
from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.launcher import TritonServer

ONCE = Patience(tries=1)
TEXT = {"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["waves on a beach"]}
BODY = json.dumps({"inputs": [TEXT]}).encode()
NOTICE = 1.0


@dataclass
class Callers:
    """Threads that ask the gateway by both protocols, without retries, until each is refused or told to stop."""

    gateway: Gateway
    answered: list[float] = field(default_factory=list)
    refused: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[object] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self._threads = [threading.Thread(target=kind, daemon=True) for kind in (self._rest, self._grpc) * 2]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "no call hangs"

    def _rest(self) -> None:
        while not self.stop.is_set():
            try:
                answer = self.gateway.request("POST", "/v2/models/embed_text/infer", BODY)
            except urllib.error.URLError as error:
                if isinstance(error.reason, ConnectionRefusedError):  # nobody listens any more
                    self.refused.append((time.monotonic(), "gone"))
                else:
                    self.wrong.append(error)
                return
            except Exception as error:
                self.wrong.append(error)
                return
            if answer.status == 200:
                self.answered.append(time.monotonic())
            elif answer.status == 503 and answer.headers.get("retry-after") == "1":
                self.refused.append((time.monotonic(), answer.json["error"]))
                return
            else:
                self.wrong.append((answer.status, answer.body))
                return

    def _grpc(self) -> None:
        with Sat2SoundClient(f"127.0.0.1:{self.gateway.grpc_port}", patience=ONCE) as client:
            while not self.stop.is_set():
                try:
                    client.embed_text("waves on a beach", deadline=30)
                except ServerUnavailable as error:
                    self.refused.append((time.monotonic(), f"{type(error).__name__}: {error}"))
                    return
                except ClientError as error:
                    self.wrong.append(error)
                    return
                self.answered.append(time.monotonic())


@pytest.fixture
def tritons(triton_environment: ServingEnvironment, tiny_repository: Path) -> Iterator[list[TritonServer]]:
    with (
        TritonServer(tiny_repository, environment=triton_environment) as first,
        TritonServer(tiny_repository, environment=triton_environment) as second,
    ):
        yield [first, second]


def asked(server: TritonServer) -> int:
    """Requests that a Triton has answered."""
    with urllib.request.urlopen(f"{server.http_url}/v2/models/embed_text/stats") as answer:  # noqa: S310 (loopback)
        return int(json.load(answer)["model_stats"][0]["inference_count"])


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_nothing_is_lost_on_the_way(tritons: list[TritonServer], triton_environment: ServingEnvironment) -> None:
    first, second = tritons
    options = (f"--predictor-host=ipv4:{first.grpc_url},{second.grpc_url}", "--allow-anonymous")
    times = (f"--drain-notice-seconds={NOTICE}", "--drain-seconds=120", "--timeout-seconds=120")
    with Gateway((*options, *times)) as gateway:
        callers = Callers(gateway)
        callers.start()
        wait_for(lambda: len(callers.answered) > 20 and asked(first) > 3 and asked(second) > 3)

        # A Triton pod stops: preStop, then SIGTERM.
        drain = [str(triton_environment.prefix / "bin" / "sat2sound"), "drain", "--notice", "0.2"]
        where = ["--http", f"127.0.0.1:{first.http_port}", "--key", first.control.key]
        done = subprocess.run([*drain, *where], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        os.kill(first.pid, signal.SIGTERM)
        wait_for(lambda: first.returncode is not None)
        before = len(callers.answered)
        wait_for(lambda: len(callers.answered) > before + 10)
        assert (callers.wrong, callers.refused) == ([], []), "the other one has answered everything"
        assert first.returncode == 0

        # The gateway stops, with a request in flight that takes longer than its notice.
        slow = Running(f"127.0.0.1:{gateway.grpc_port}", "embed_pixels", pixel_inputs(1, gsd=2500.0))
        wait_for(lambda: b"embed_pixels" in gateway.request("GET", "/metrics").body)
        told = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        wait_for(lambda: gateway.request("GET", "/v2/health/ready").status == 503)
        assert gateway.request("GET", "/v2/health/live").status == 200
        callers.join()
        assert not slow.done()
        assert slow.result()["EMBEDDING"].shape == (1, 256)
        assert gateway.process.wait(timeout=60) == 0, "every accepted request was answered"
    assert callers.wrong == []
    assert len(callers.refused) == 4
    for moment, reason in callers.refused:
        assert moment - told > NOTICE - 0.1, "not before load balancers had time to look elsewhere"
        assert "shutting down" in reason, reason
    assert sum(ServerDraining.__name__ in reason for _, reason in callers.refused) == 2
    assert any(moment > told + 0.1 for moment in callers.answered), "answered while not ready"
    assert second.stop()
