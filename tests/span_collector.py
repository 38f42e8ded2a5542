"""A collector of OpenTelemetry spans: what a server exports by OTLP over HTTP, as bytes to search."""

from __future__ import annotations

import http.server
import threading
import time
from types import TracebackType
from typing import Self


class SpanCollector:
    """A context manager that listens on the loopback."""

    def __init__(self) -> None:
        exports: list[bytes] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                exports.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self._exports = exports
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def exported(self, identifier: str, seconds: float = 30.0) -> bool:
        """Whether a trace or span of this id (hexadecimal) arrives within so many seconds."""
        forms = (bytes.fromhex(identifier), identifier.encode())  # of protobuf, of JSON
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if any(form in export for export in self._exports for form in forms):
                return True
            time.sleep(0.1)
        return False
