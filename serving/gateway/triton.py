"""Calls to Triton over one shared gRPC channel: deadlines, retries, the inference key, the caller's trace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt
from kserve.protocol.grpc import grpc_predict_v2_pb2 as protocol
from tritonclient.utils import deserialize_bytes_tensor, np_to_triton_dtype, serialize_byte_tensor, triton_to_np_dtype

from sat2sound.clients.access import Access
from sat2sound.clients.channel import channel_options
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import ClientError, InvalidRequest
from sat2sound.clients.retries import BRIEF, RetryBudget, patiently_async
from sat2sound.clients.statuses import meaning_of, refused_items
from sat2sound.contract import INFERENCE_HEADER
from sat2sound.errors import ConfigurationError
from sat2sound.serving.gateway.addresses import predictor_address
from sat2sound.serving.gateway.context import current
from sat2sound.serving.gateway.settings import GatewaySettings

_SERVICE = "/inference.GRPCInferenceService"
Arrays = dict[str, npt.NDArray[Any]]


class Triton:
    """A connection to the predictor. Its methods raise the client's exceptions (sat2sound.clients.errors)."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.address = predictor_address(settings.predictor)
        self._seconds = settings.timeout_seconds
        self._key = _read_key(settings.predictor_key_file)
        self._budget = RetryBudget(BRIEF.share)
        # Behind a headless service every address is a pod: requests go round them, and a dead one is left out until it
        # is back. What a caller may send is bounded where it comes in.
        options = channel_options(self.address, Access(), max_message_bytes=-1)
        self._channel = grpc.aio.insecure_channel(self.address, options=options)
        self._infer = self._channel.unary_unary(
            f"{_SERVICE}/ModelInfer",
            request_serializer=protocol.ModelInferRequest.SerializeToString,
            response_deserializer=protocol.ModelInferResponse.FromString,
        )
        self._ready = self._channel.unary_unary(
            f"{_SERVICE}/ServerReady",
            request_serializer=protocol.ServerReadyRequest.SerializeToString,
            response_deserializer=protocol.ServerReadyResponse.FromString,
        )

    async def forward(self, request: protocol.ModelInferRequest) -> protocol.ModelInferResponse:
        """Send a request as it is; again, within its time, where a pod that stops or has gone did not answer it."""
        context = current()
        metadata = (*context.metadata(), *(((INFERENCE_HEADER, self._key),) if self._key else ()))
        deadline = Deadline(self._seconds)

        async def once() -> protocol.ModelInferResponse:
            try:
                return await self._infer(request, timeout=deadline.remaining(), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                raise self._client_error(error) from None

        return await patiently_async(once, BRIEF, self._budget, deadline)

    async def infer(self, model: str, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Outputs of a model by name. inputs: with the batch dimension."""
        request = protocol.ModelInferRequest(model_name=model, id=current().request_id)
        for name, array in inputs.items():
            tensor = request.inputs.add(name=name, datatype=np_to_triton_dtype(array.dtype))
            tensor.shape.extend(array.shape)
            raw = serialize_byte_tensor(array).item() if array.dtype == np.object_ else array.tobytes()
            request.raw_input_contents.append(raw)
        return arrays_of(await self.forward(request))

    async def is_ready(self, seconds: float = 2.0) -> bool:
        """Whether a server behind the address calls itself ready."""
        try:
            return bool((await self._ready(protocol.ServerReadyRequest(), timeout=seconds)).ready)
        except grpc.aio.AioRpcError:
            return False

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    def _client_error(self, error: grpc.aio.AioRpcError) -> ClientError:
        message = error.details() or ""
        row = meaning_of(error.code(), message)
        if row.error is InvalidRequest:
            return InvalidRequest(message, status=error.code().name, items=refused_items(message))
        return row.error(message or error.code().name, fix=row.fix, status=error.code().name)


def arrays_of(response: protocol.ModelInferResponse) -> Arrays:
    """A response's outputs by name."""
    found: Arrays = {}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if tensor.datatype == "BYTES":
            values = deserialize_bytes_tensor(raw)
        else:
            values = np.frombuffer(raw, dtype=triton_to_np_dtype(tensor.datatype))
        found[tensor.name] = values.reshape(tuple(tensor.shape))
    return found


def _read_key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error}") from None
