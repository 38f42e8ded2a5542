"""Ready means: can serve. Load does not turn it red; a Triton that is away, or a drain, does."""

from __future__ import annotations

import time
from typing import Any

from kserve import InferRequest
from kserve.errors import ModelNotFound
from kserve.protocol.dataplane import DataPlane

from sat2sound.serving.gateway.binary_tensors import read_request
from sat2sound.serving.gateway.triton import Triton

_JSON_LENGTH = "inference-header-content-length"
_REMEMBER_SECONDS = 1.0  # probes of many kinds ask; Triton is asked once


class GatewayDataPlane(DataPlane):  # type: ignore[misc]
    """kserve's data plane with this gateway's notion of ready."""

    def __init__(self, model_registry: Any, triton: Triton) -> None:
        super().__init__(model_registry=model_registry)
        self._triton = triton
        self._known = (float("-inf"), False)
        self.draining = False

    async def ready(self) -> bool:
        """Whether Triton is ready and this gateway is not draining."""
        if self.draining:
            return False
        asked, ready = self._known
        if time.monotonic() - asked > _REMEMBER_SECONDS:
            ready = await self._triton.is_ready()
            self._known = (time.monotonic(), ready)
        return ready

    def decode_inference_request(self, body: Any, headers: dict[str, str], model_name: str) -> InferRequest:
        """As kserve's, but binary tensors stay bytes."""
        length = headers.get(_JSON_LENGTH)
        if isinstance(body, bytes) and length is not None:
            return read_request(body, length, model_name)
        return super().decode_inference_request(body, headers, model_name)

    async def model_ready(self, model_name: str, disable_predictor_health_check: bool = False) -> bool:
        """A request is not held up by a question for readiness; a probe for one model gets the whole answer."""
        if self.model_registry.get_model(model_name) is None:
            raise ModelNotFound(model_name)
        return disable_predictor_health_check or await self.ready()
