"""A local HTTP server that speaks the chat completions protocol, for tests: real sockets, scripted answers."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class Request:
    """What arrived. number: from 0, in order of arrival."""

    def __init__(self, number: int, path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        self.number, self.path, self.headers, self.body = number, path, headers, body

    @property
    def image(self) -> Image.Image:
        """The image that was sent."""
        address = self.body["messages"][0]["content"][0]["image_url"]["url"]
        return Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))


def completion(text: object) -> dict[str, Any]:
    """The body of a successful answer."""
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


class CaptionEndpoint:
    """Answers with what `reply` says, after `delay` seconds. A context manager; requests: all that arrived."""

    def __init__(self, reply: Callable[[Request], Reply], delay: float = 0.0) -> None:
        self.requests: list[Request] = []
        self.reply = reply  # may be changed while it runs
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    request = Request(len(outer.requests), self.path, dict(self.headers), body)
                    outer.requests.append(request)
                time.sleep(delay)
                status, content, *more = outer.reply(request)
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    for name, value in (more[0] if more else {}).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client was killed

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The address to give to --endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> CaptionEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
