"""What kserve's endpoints call: the soundscape model, and Triton's public ensembles as they are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput as KServeInvalidInput
from kserve.errors import ModelNotReady
from kserve.protocol.infer_type import RequestedOutput

from sat2sound.contract import MODELS, ModelContract, Tensor
from sat2sound.serving.gateway.instances import parsed_instance
from sat2sound.serving.gateway.soundscape import Soundscape
from sat2sound.serving.gateway.triton import Triton

# The same question and answer over the Open Inference Protocol: one JSON text for each instance and prediction.
INSTANCES = Tensor("INSTANCES", "BYTES", dims=())
PREDICTIONS = Tensor("PREDICTIONS", "BYTES", dims=())


class SoundscapeModel(Model):  # type: ignore[misc]
    """v1 :predict with {"instances": [...]}; one prediction per instance, an error in the place of a bad one.

    Over v2 the instances are the JSON texts of a tensor, and so are the predictions.
    """

    def __init__(self, name: str, soundscape: Soundscape, *, max_instances: int) -> None:
        super().__init__(name)
        self._soundscape, self._max_instances = soundscape, max_instances
        self.ready = True

    async def predict(
        self, payload: Any, headers: Any = None, response_headers: Any = None
    ) -> dict[str, Any] | InferResponse:
        """payload: the request's JSON, or InferRequest. Raises kserve's InvalidInput for what holds no instances."""
        if isinstance(payload, InferRequest):
            return await self._predict_tensor(payload)
        if isinstance(payload, bytes | bytearray) or not isinstance(payload, dict):
            raise KServeInvalidInput('the body must be JSON {"instances": [...]} with content-type application/json')
        entries = payload.get("instances")
        if not isinstance(entries, list) or not 1 <= len(entries) <= self._max_instances:
            raise KServeInvalidInput(f'"instances" must be a list of 1 to {self._max_instances} objects')
        return {"predictions": await self._soundscape.answer_all(entries)}

    async def _predict_tensor(self, request: InferRequest) -> InferResponse:
        tensor = request.get_input_by_name(INSTANCES.name)
        if tensor is None or len(request.inputs) != 1 or tensor.datatype != INSTANCES.datatype:
            raise KServeInvalidInput(
                f"{self.name} takes one input {INSTANCES.name}, {INSTANCES.datatype} [n]: JSON texts, each an instance "
                "as in the v1 protocol"
            )
        try:
            texts = tensor.as_numpy()
        except ValueError as error:
            raise KServeInvalidInput(f"{INSTANCES.name} does not have its shape {tensor.shape}: {error}") from None
        if not 1 <= texts.size <= self._max_instances:
            raise KServeInvalidInput(f"{INSTANCES.name} holds {texts.size} texts, not 1 to {self._max_instances}")
        answers = await self._soundscape.answer_all([parsed_instance(text) for text in texts.flat])
        predictions = np.array([json.dumps(answer) for answer in answers], dtype=np.object_).reshape(texts.shape)
        output = InferOutput(PREDICTIONS.name, list(texts.shape), PREDICTIONS.datatype)
        output.set_data_from_numpy(predictions, binary_data=True)
        return _as_asked(InferResponse(request.id, self.name, [output]), request)

    def get_input_types(self) -> list[dict[str, Any]]:
        """For the metadata endpoint."""
        return [_described(INSTANCES)]

    def get_output_types(self) -> list[dict[str, Any]]:
        """For the metadata endpoint."""
        return [_described(PREDICTIONS)]


class EnsembleModel(Model):  # type: ignore[misc]
    """One public ensemble over the Open Inference Protocol, tensors as in the wire contract."""

    def __init__(self, contract: ModelContract, triton: Triton) -> None:
        super().__init__(contract.name)
        self._contract, self._triton = contract, triton
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> InferResponse:
        """payload: InferRequest. Raises the client's exceptions."""
        if not isinstance(payload, InferRequest):
            raise KServeInvalidInput(f"{self.name} speaks the v2 protocol: POST /v2/models/{self.name}/infer")
        if not self.ready:
            raise ModelNotReady(self.name)
        request = payload.to_grpc()
        request.model_name = self.name
        return _as_asked(InferResponse.from_grpc(await self._triton.forward(request)), payload)

    def get_input_types(self) -> list[dict[str, Any]]:
        """For the metadata endpoint."""
        return [_described(tensor) for tensor in self._contract.inputs]

    def get_output_types(self) -> list[dict[str, Any]]:
        """For the metadata endpoint."""
        return [_described(tensor) for tensor in self._contract.outputs]


def public_models() -> list[ModelContract]:
    """The ensembles that clients call."""
    return [model for model in MODELS.values() if model.public]


def _as_asked(response: InferResponse, request: InferRequest) -> InferResponse:
    """With the outputs that were asked for, as binary or JSON as was asked for; over gRPC always binary."""
    for output in response.outputs:
        output.parameters = None  # those of a gRPC message cannot take the sizes that kserve writes into them
    binary = bool(request.use_binary_outputs)
    asked = [
        RequestedOutput(output.name, {"binary_data": binary if output.binary_data is None else output.binary_data})
        for output in request.request_outputs or []
    ]
    return InferResponse(
        response.id,
        response.model_name,
        response.outputs,
        model_version=response.model_version,
        parameters=response.parameters,
        use_binary_outputs=binary,
        requested_outputs=asked or None,
    )


def _described(tensor: Tensor) -> dict[str, Any]:
    # Sizes that depend on the model are left open: the gateway does not have to know which model it fronts.
    dims = [dim if isinstance(dim, int) else -1 for dim in tensor.dims]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": [-1, *dims]}
