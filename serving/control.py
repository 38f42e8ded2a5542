"""Triton's HTTP API as far as the launcher needs it: health, the repository's state, and unloading for a drain."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

# Restricts loading and unloading to whoever knows the value, i.e. the launcher that started this server.
CONTROL_HEADER = "sat2sound-control"


@dataclass(frozen=True)
class ModelState:
    """One row of the repository index. state: READY, LOADING, UNLOADING, UNAVAILABLE or "" (never loaded)."""

    name: str
    state: str
    reason: str


class ControlClient:
    """Calls to one server. Every method raises OSError or http.client.HTTPException when it does not answer."""

    def __init__(self, host: str, port: int, secret: str) -> None:
        self._address = (host, port)
        self._secret = secret

    def _call(self, method: str, path: str, body: Any = None, timeout: float = 5.0) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self._address, timeout=timeout)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {CONTROL_HEADER: self._secret})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def alive(self) -> bool:
        """Whether the server answers at all."""
        try:
            return self._call("GET", "/v2/health/live")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def ready(self) -> bool:
        """Whether the server and all its models are ready."""
        try:
            return self._call("GET", "/v2/health/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def version(self) -> str:
        """The server's version, e.g. "2.51.0"."""
        return str(json.loads(self._call("GET", "/v2")[1])["version"])

    def models(self) -> list[ModelState]:
        """State of every model in the repository."""
        rows = json.loads(self._call("POST", "/v2/repository/index", {})[1])
        return [ModelState(row["name"], row.get("state", ""), row.get("reason", "")) for row in rows]

    def unload(self, model: str, timeout: float) -> None:
        """Accept no new request for this model; those in flight go on. Returns when none is left, or raises."""
        status, answer = self._call("POST", f"/v2/repository/models/{model}/unload", {}, timeout)
        if status != 200:
            raise OSError(f"Triton does not unload {model}: {answer[:200]!r}")
