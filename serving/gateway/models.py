"""What kserve's endpoints call: the soundscape model, and Triton's public ensembles as they are."""

from __future__ import annotations

from typing import Any

from kserve import InferRequest, InferResponse, Model
from kserve.errors import InvalidInput as KServeInvalidInput
from kserve.errors import ModelNotReady

from sat2sound.contract import MODELS, ModelContract, Tensor
from sat2sound.serving.gateway.soundscape import Soundscape
from sat2sound.serving.gateway.triton import Triton


class SoundscapeModel(Model):  # type: ignore[misc]
    """v1 :predict with {"instances": [...]}; one prediction per instance, an error in the place of a bad one."""

    def __init__(self, name: str, soundscape: Soundscape, *, max_instances: int) -> None:
        super().__init__(name)
        self._soundscape, self._max_instances = soundscape, max_instances
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> dict[str, Any]:
        """payload: the request's JSON. Raises kserve's InvalidInput for what holds no instances."""
        if isinstance(payload, InferRequest):
            ensembles = ", ".join(model.name for model in public_models())
            raise KServeInvalidInput(f"{self.name} speaks the v1 protocol; over v2 and gRPC use one of {ensembles}")
        if isinstance(payload, bytes | bytearray) or not isinstance(payload, dict):
            raise KServeInvalidInput('the body must be JSON {"instances": [...]} with content-type application/json')
        entries = payload.get("instances")
        if not isinstance(entries, list) or not 1 <= len(entries) <= self._max_instances:
            raise KServeInvalidInput(f'"instances" must be a list of 1 to {self._max_instances} objects')
        return {"predictions": await self._soundscape.answer_all(entries)}


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
        return InferResponse.from_grpc(await self._triton.forward(request))

    def get_input_types(self) -> list[dict[str, Any]]:
        """For the metadata endpoint."""
        return [_described(tensor) for tensor in self._contract.inputs]

    def get_output_types(self) -> list[dict[str, Any]]:
        """For the metadata endpoint."""
        return [_described(tensor) for tensor in self._contract.outputs]


def public_models() -> list[ModelContract]:
    """The ensembles that clients call."""
    return [model for model in MODELS.values() if model.public]


def _described(tensor: Tensor) -> dict[str, Any]:
    # Sizes that depend on the model are left open: the gateway does not have to know which model it fronts.
    dims = [dim if isinstance(dim, int) else -1 for dim in tensor.dims]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": [-1, *dims]}
