"""One gRPC connection to a Triton server: bounded messages, a deadline on every call, errors as ours."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from sat2sound.clients.errors import DeadlineExceeded, RequestCancelled
from sat2sound.clients.statuses import client_error
from sat2sound.contract import INFERENCE_HEADER, MODELS
from sat2sound.errors import ConfigurationError, InvalidInput

Arrays = dict[str, npt.NDArray[Any]]

DEFAULT_DEADLINE_SECONDS = 60.0
DEFAULT_MAX_MESSAGE_BYTES = 256 * 1024 * 1024
KEY_FILE_VARIABLE = "SAT2SOUND_INFERENCE_KEY_FILE"
KEEPALIVE_MILLISECONDS = 30_000  # also notices a peer that vanished without closing
_ADDRESS = re.compile(r"^(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})$")
_LOOPBACK = ("localhost", "127.", "[::1]")


class Deadline:
    """A moment until which everything that one call of the library does must be finished."""

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds < float("inf"):
            raise InvalidInput(
                f"the deadline is {seconds} seconds", expected="a positive number of seconds", fix="choose e.g. 60"
            )
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left. Raises DeadlineExceeded when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(
                f"the call was not finished within {self.seconds:g} seconds",
                fix="raise the deadline or send fewer items",
                status="DEADLINE_EXCEEDED",
            )
        return left


def check_address(url: str) -> str:
    """`host:port` as it is. Raises InvalidInput that tells a common mistake."""
    match = _ADDRESS.match(url)
    if match and 0 < int(match["port"]) < 65536:
        return url
    raise InvalidInput(
        f"{url[:100]!r} is not a gRPC address",
        expected="host:port without a scheme, e.g. localhost:8001",
        fix="leave out http:// and any path, and give the gRPC port" if "/" in url else "give host and port",
    )


def inference_headers(environ: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """The header with the key of the file that SAT2SOUND_INFERENCE_KEY_FILE names; None if it is not set.

    Only needed for servers that ask for it (those of k8s/). Raises ConfigurationError if the file cannot be read.
    """
    path = environ.get(KEY_FILE_VARIABLE)
    if not path:
        return None
    try:
        return {INFERENCE_HEADER: Path(path).read_text(encoding="utf-8").strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the key file {path} ({KEY_FILE_VARIABLE}) cannot be read: {error}") from None


class Connection:
    """Sends requests to one server; every method raises ClientError (`sat2sound.clients.errors`).

    url: host:port of Triton's gRPC endpoint. max_message_bytes: the largest request or response, refused beyond.
    Thread-safe. Nothing is sent before the first call; `close` ends the connection.
    """

    def __init__(self, url: str, *, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        self.url = check_address(url)
        self.max_message_bytes = max_message_bytes
        options = [
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        if url.startswith(_LOOPBACK):
            options.append(("grpc.enable_http_proxy", 0))  # a proxy set in the environment cannot reach our loopback
        self._client = triton.InferenceServerClient(url, channel_args=options)
        self._headers = inference_headers()
        self._batch_sizes: dict[str, int] = {}
        self._closed = False

    def close(self) -> None:
        """End the connection; calls after it fail."""
        self._closed = True
        self._client.close()

    def infer(self, model: str, inputs: Mapping[str, npt.NDArray[Any]], deadline: Deadline) -> Arrays:
        """One request. inputs: name -> array with the batch dimension, of the contract's data type; BYTES as object.

        Returns every output of the contract by name, with the batch dimension; BYTES as object arrays of bytes.
        """
        contract = MODELS[model]
        tensors = []
        for name, array in inputs.items():
            tensor = triton.InferInput(name, list(array.shape), contract.input(name).datatype)
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        outputs = [triton.InferRequestedOutput(output.name) for output in contract.outputs]
        with self._errors():
            result = self._client.infer(
                model, tensors, outputs=outputs, client_timeout=deadline.remaining(), headers=self._headers
            )
        return {output.name: np.asarray(result.as_numpy(output.name)) for output in contract.outputs}

    def max_batch_size(self, model: str, deadline: Deadline) -> int:
        """How many items the server takes in one request, as its configuration says (asked once)."""
        if model not in self._batch_sizes:
            self._batch_sizes[model] = max(1, int(self.model_config(model, deadline).max_batch_size))
        return self._batch_sizes[model]

    def model_config(self, model: str, deadline: Deadline) -> Any:
        """The `ModelConfig` message of one model."""
        with self._errors():
            return self._client.get_model_config(model, client_timeout=deadline.remaining()).config

    def server_metadata(self, deadline: Deadline) -> Any:
        """The `ServerMetadataResponse` message: name, version, extensions."""
        with self._errors():
            return self._client.get_server_metadata(client_timeout=deadline.remaining())

    def statistics(self, deadline: Deadline) -> Sequence[Any]:
        """One `ModelStatistics` message per model version."""
        with self._errors():
            answer = self._client.get_inference_statistics(client_timeout=deadline.remaining())
        return list(answer.model_stats)

    def is_ready(self, model: str, deadline: Deadline) -> bool:
        """Whether the server is ready and serves this model."""
        with self._errors():
            return bool(
                self._client.is_server_ready(client_timeout=deadline.remaining())
                and self._client.is_model_ready(model, client_timeout=deadline.remaining())
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise RequestCancelled(f"the connection to {self.url} is closed", fix="open a new client")
        try:
            yield
        except InferenceServerException as error:
            raise client_error(error, self.url) from None
