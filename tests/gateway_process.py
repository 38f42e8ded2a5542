"""A gateway as a process of its own, as it runs in production.

Also because kserve's protocol classes and Triton's client's cannot live in one process.
"""

from __future__ import annotations

import json
import queue
import signal
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

TOKEN = "a-token-for-tests"  # noqa: S105


@dataclass(frozen=True)
class Answer:
    """Of one HTTP request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Gateway:
    """`sat2sound gateway` with these options; a context manager."""

    options: tuple[str, ...]
    token: str = TOKEN
    tls: ssl.SSLContext | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "sat2sound.clients.cli", "gateway", "--http-port=0", "--grpc-port=0"]
        self.process = subprocess.Popen([*command, *self.options], stdout=subprocess.PIPE, text=True)
        ready: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        addresses = ready.get(timeout=120)
        if addresses is None:
            raise AssertionError(f"the gateway ended with {self.stop()}: {self.lines}")
        self.http_port, self.grpc_port = addresses["http_port"], addresses["grpc_port"]
        return self

    def _read(self, ready: queue.Queue[dict[str, Any] | None]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))  # every line is JSON
            if self.lines[-1]["message"] == "listening":
                ready.put(self.lines[-1])
        ready.put(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """One HTTP request with the token, errors not raised."""
        scheme = "https" if self.tls else "http"
        url = f"{scheme}://127.0.0.1:{self.http_port}{path}"
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(url, body, sent, method=method)  # noqa: S310 (loopback)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self.tls) as answer:  # noqa: S310
                return Answer(answer.status, _lower(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers), error.read())

    def predict(self, *instances: Any, headers: dict[str, str] | None = None) -> Answer:
        """v1 :predict."""
        body = json.dumps({"instances": instances}).encode()
        return self.request("POST", "/v1/models/sat2sound:predict", body, headers)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
