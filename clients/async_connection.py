"""As `connection`, for asyncio: one gRPC connection that any number of tasks share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
import numpy.typing as npt
from tritonclient.grpc import aio as triton
from tritonclient.utils import InferenceServerException

from sat2sound.clients.access import Access
from sat2sound.clients.channel import DEFAULT_MAX_MESSAGE_BYTES, channel_options, target
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import NotServed, RequestCancelled
from sat2sound.clients.messages import Arrays, request_inputs, requested_outputs, response_arrays
from sat2sound.clients.retries import BRIEF, Patience, RetryBudget, patiently_async
from sat2sound.clients.statuses import client_error
from sat2sound.contract import MAX_BATCH


class AsyncConnection:
    """Arguments and errors as `Connection`. Belongs to the event loop that it is first used in."""

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
        self._access.headers()
        self._client: Any = None  # gRPC binds a channel to the running event loop: made at the first call
        self._batch_sizes: dict[str, int] = {}
        self._closed = False
        check = channel_options(url, self._access, max_message_bytes)  # what is wrong with the address is told now
        self._arguments = {"url": target(url), "creds": self._access.credentials(), "channel_args": check}

    async def close(self) -> None:
        """End the connection: calls in flight are cancelled, calls after it fail."""
        self._closed = True
        if self._client is not None:
            await self._client.close()

    async def infer(self, model: str, inputs: Mapping[str, npt.NDArray[Any]], deadline: Deadline) -> Arrays:
        """As `Connection.infer`. Cancelling the task cancels the request on its way, too."""
        tensors, outputs = request_inputs(model, inputs), requested_outputs(model)

        async def once() -> Arrays:
            with self._errors():
                result = await self._open().infer(
                    model,
                    tensors,
                    outputs=outputs,
                    client_timeout=deadline.remaining(),
                    headers=self._access.headers(),
                )
            return response_arrays(model, result)

        return await patiently_async(once, self.patience, self.budget, deadline)

    async def max_batch_size(self, model: str, deadline: Deadline) -> int:
        """How many items the server takes in one request, as its configuration says (asked once)."""
        if model not in self._batch_sizes:
            try:
                config = await patiently_async(
                    lambda: self.model_config(model, deadline), self.patience, self.budget, deadline
                )
                self._batch_sizes[model] = max(1, int(config.max_batch_size))
            except NotServed as error:
                if error.status != "UNIMPLEMENTED":  # a gateway, which does not tell; everything else does not serve us
                    raise
                self._batch_sizes[model] = MAX_BATCH
        return self._batch_sizes[model]

    async def model_config(self, model: str, deadline: Deadline) -> Any:
        """The `ModelConfig` message of one model."""
        with self._errors():
            answer = await self._open().get_model_config(
                model, client_timeout=deadline.remaining(), headers=self._access.headers()
            )
        return answer.config

    async def server_metadata(self, deadline: Deadline) -> Any:
        """The `ServerMetadataResponse` message: name, version, extensions."""
        with self._errors():
            return await self._open().get_server_metadata(
                client_timeout=deadline.remaining(), headers=self._access.headers()
            )

    async def statistics(self, deadline: Deadline) -> Sequence[Any]:
        """One `ModelStatistics` message per model version."""
        with self._errors():
            answer = await self._open().get_inference_statistics(
                client_timeout=deadline.remaining(), headers=self._access.headers()
            )
        return list(answer.model_stats)

    def _open(self) -> Any:
        if self._client is None:
            self._client = triton.InferenceServerClient(**self._arguments)
        return self._client

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise RequestCancelled(f"the connection to {self.url} is closed", fix="open a new client")
        try:
            yield
        except InferenceServerException as error:
            raise client_error(error, self.url) from None
        except asyncio.CancelledError:
            # Closing the channel cancels the calls on it; that is not the same as cancelling the task that waits.
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise RequestCancelled(f"the connection to {self.url} was closed", fix="open a new client") from None
        except grpc.aio.UsageError:  # what gRPC raises on a channel that another task has closed meanwhile
            raise RequestCancelled(f"the connection to {self.url} was closed", fix="open a new client") from None
