"""The few administrative calls that the launcher makes to a running Triton server, over HTTP."""

from __future__ import annotations

import http.client
import json
import secrets
from dataclasses import dataclass
from typing import Any

from sat2sound.serving.errors import ServingError

CONTROL_HEADER = "sat2sound-control"
# What only the launcher may do: clients have no business (un)loading models, mapping memory or switching traces.
RESTRICTED = "model-repository,shared-memory,trace,logging"


@dataclass(frozen=True)
class ModelState:
    """One row of the repository index. state: READY, LOADING, UNLOADING, UNAVAILABLE or "" (never loaded)."""

    name: str
    state: str
    reason: str


class Control:
    """Calls to the server on host:port. key: the secret that these calls need; default: a new one.

    A server that is started with `restriction_arguments` knows the key.

    Methods raise OSError when the server does not answer, ServingError when it refuses; is_live and is_ready are False.
    """

    def __init__(self, host: str, port: int, key: str | None = None) -> None:
        self.host, self.port = host, port
        self.key = secrets.token_urlsafe(18) if key is None else key

    def restriction_arguments(self) -> list[str]:
        """Server arguments that reserve the administrative calls for the holder of this object's key.

        The key is visible to other users of the same machine in the process list: it keeps network clients out.
        """
        rule = f"{RESTRICTED}:{CONTROL_HEADER}={self.key}"
        return [f"--http-restricted-api={rule}", f"--grpc-restricted-protocol={rule}"]

    def is_live(self) -> bool:
        """Whether the server answers at all (it does once every model was tried)."""
        return self._succeeds("/v2/health/live")

    def is_ready(self) -> bool:
        """Whether the server calls itself ready."""
        return self._succeeds("/v2/health/ready")

    def serves_metrics(self, port: int) -> bool:
        """Whether the server's metrics are at this port. It opens last, after the others are in use."""
        try:
            status, text = self._request("GET", "/metrics", port=port)
        except OSError:
            return False
        return status == 200 and "nv_inference_request_success" in text

    def version(self) -> str:
        """The server's version, e.g. "2.51.0"."""
        return str(json.loads(self._call("GET", "/v2"))["version"])

    def models(self) -> list[ModelState]:
        """Every model in the repository with its state."""
        entries = json.loads(self._call("POST", "/v2/repository/index", {}))
        return [ModelState(entry["name"], entry.get("state", ""), entry.get("reason", "")) for entry in entries]

    def is_ensemble(self, model: str) -> bool:
        """Whether a loaded model is an ensemble."""
        return bool(json.loads(self._call("GET", f"/v2/models/{model}/config")).get("platform") == "ensemble")

    def unload(self, model: str) -> None:
        """Take a model out of service: new requests are refused at once, running ones finish (state UNLOADING)."""
        self._call("POST", f"/v2/repository/models/{model}/unload", {})

    def load(self, model: str) -> None:
        """Load a model with what is new in its folder; of an ensemble, its steps too. Requests go on meanwhile."""
        self._call("POST", f"/v2/repository/models/{model}/load", {})

    def become_unready(self) -> None:
        """Turn readiness (HTTP and gRPC) off while requests are still served.

        There is no call for that. But the server is ready only if every model that it was told to load is, so it is
        told to load one that cannot be.
        """
        config: dict[str, Any] = {"backend": "draining", "max_batch_size": 0}
        for direction in ("input", "output"):
            config[direction] = [{"name": direction.upper(), "data_type": "TYPE_FP32", "dims": [1]}]
        body = {"parameters": {"config": json.dumps(config), "file:1/draining": ""}}
        status, answer = self._request("POST", "/v2/repository/models/draining/load", body)
        if status == 200 or self.is_ready():
            raise ServingError(f"the server stays ready although it was asked to drain ({status} {answer[:300]})")

    def _succeeds(self, path: str) -> bool:
        try:
            return self._request("GET", path)[0] == 200
        except OSError:
            return False

    def _call(self, method: str, path: str, body: Any = None) -> str:
        status, answer = self._request(method, path, body)
        if status != 200:
            raise ServingError(f"{method} {path} was answered {status}: {answer[:500]}")
        return answer

    def _request(self, method: str, path: str, body: Any = None, port: int | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, port or self.port, timeout=30)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {CONTROL_HEADER: self.key})
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:
            at = f"{connection.host}:{connection.port}"
            raise ConnectionError(f"{at} does not answer as a Triton server: {error!r}") from error
        finally:
            connection.close()
