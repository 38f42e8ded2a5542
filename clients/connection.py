"""One gRPC connection to a Triton server: bounded messages, a deadline on every call, errors as ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from sat2sound.clients.access import Access
from sat2sound.clients.channel import DEFAULT_MAX_MESSAGE_BYTES, channel_options, target
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import NotServed, RequestCancelled
from sat2sound.clients.messages import Arrays, request_inputs, requested_outputs, response_arrays
from sat2sound.clients.retries import BRIEF, Patience, RetryBudget, patiently
from sat2sound.clients.statuses import client_error
from sat2sound.contract import MAX_BATCH


class Connection:
    """Sends requests to one server; every method raises ClientError (`sat2sound.clients.errors`).

    url: host:port of Triton's gRPC endpoint; requests go round all addresses that the name has. max_message_bytes: the
    largest request or response, refused beyond. access: credentials (None: those of the environment). patience: which
    failed inference requests are sent again. Thread-safe. Nothing is sent before the first call; `close` ends it.
    """

    def __init__(
        self,
        url: str,
        *,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        access: Access | None = None,
        patience: Patience = BRIEF,
    ) -> None:
        self.url = url
        self.max_message_bytes = max_message_bytes
        self.patience = patience
        self.budget = RetryBudget(patience.share)
        self._access = Access.from_environment() if access is None else access
        self._access.headers()  # a file that cannot be read is told now, not with the first request
        self._client = triton.InferenceServerClient(
            target(url),
            creds=self._access.credentials(),
            channel_args=channel_options(url, self._access, max_message_bytes),
        )
        self._batch_sizes: dict[str, int] = {}
        self._closed = False

    def close(self) -> None:
        """End the connection; calls after it fail."""
        self._closed = True
        self._client.close()

    def infer(self, model: str, inputs: Mapping[str, npt.NDArray[Any]], deadline: Deadline) -> Arrays:
        """One request, sent again as `patience` says.

        inputs: name -> array with the batch dimension, of the contract's data type; BYTES as object. Returns every
        output of the contract by name, with the batch dimension; BYTES as object arrays of bytes.
        """
        tensors, outputs = request_inputs(model, inputs), requested_outputs(model)

        def once() -> Arrays:
            with self._errors():
                result = self._client.infer(
                    model,
                    tensors,
                    outputs=outputs,
                    client_timeout=deadline.remaining(),
                    headers=self._access.headers(),
                )
            return response_arrays(model, result)

        return patiently(once, self.patience, self.budget, deadline)

    def max_batch_size(self, model: str, deadline: Deadline) -> int:
        """How many items the server takes in one request, as its configuration says (asked once)."""
        if model not in self._batch_sizes:
            try:
                config = patiently(lambda: self.model_config(model, deadline), self.patience, self.budget, deadline)
                self._batch_sizes[model] = max(1, int(config.max_batch_size))
            except NotServed as error:
                if error.status != "UNIMPLEMENTED":  # a gateway, which does not tell; everything else does not serve us
                    raise
                self._batch_sizes[model] = MAX_BATCH
        return self._batch_sizes[model]

    def model_config(self, model: str, deadline: Deadline) -> Any:
        """The `ModelConfig` message of one model."""
        with self._errors():
            return self._client.get_model_config(
                model, client_timeout=deadline.remaining(), headers=self._access.headers()
            ).config

    def server_metadata(self, deadline: Deadline) -> Any:
        """The `ServerMetadataResponse` message: name, version, extensions."""
        with self._errors():
            return self._client.get_server_metadata(client_timeout=deadline.remaining(), headers=self._access.headers())

    def statistics(self, deadline: Deadline) -> Sequence[Any]:
        """One `ModelStatistics` message per model version."""
        with self._errors():
            answer = self._client.get_inference_statistics(
                client_timeout=deadline.remaining(), headers=self._access.headers()
            )
        return list(answer.model_stats)

    def is_ready(self, model: str, deadline: Deadline) -> bool:
        """Whether the server is ready and serves this model."""
        headers = self._access.headers()
        with self._errors():
            return bool(
                self._client.is_server_ready(client_timeout=deadline.remaining(), headers=headers)
                and self._client.is_model_ready(model, client_timeout=deadline.remaining(), headers=headers)
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise RequestCancelled(f"the connection to {self.url} is closed", fix="open a new client")
        try:
            yield
        except InferenceServerException as error:
            raise client_error(error, self.url) from None
        except ValueError:  # what gRPC raises on a channel that another thread has closed meanwhile
            if not self._closed:
                raise
            raise RequestCancelled(f"the connection to {self.url} was closed", fix="open a new client") from None
