"""One answer per request, whatever happens to its neighbours in the same batch."""

from __future__ import annotations

import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from sat2sound.configs import ModelConfig
from sat2sound.contract import MODELS, ModelContract, Tensor
from sat2sound.errors import InvalidInput
from sat2sound.serving.python_models.durations import StepDurations
from sat2sound.serving.python_models.items import fit
from sat2sound.serving.stub_check import require_working_tensors

CONFIG_FILE = "sat2sound.json"
TOKENIZER_FILE = "tokenizer.json"

_NUMPY = {"BYTES": np.object_, "FP32": np.float32, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8}


class ContractModel(ABC):
    """Base of the python models: reads inputs by the contract, answers each request on its own.

    A subclass sets `name` and implements `load(folder)` and `answer(inputs)`.
    """

    name: str

    def initialize(self, arguments: dict[str, str]) -> None:
        """Triton calls this once per instance, before the model is ready."""
        require_working_tensors(pb_utils)
        self.contract: ModelContract = MODELS[self.name]
        self.durations = StepDurations(pb_utils, self.name)
        self.load(Path(arguments["model_repository"], arguments["model_version"]))

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read what the model needs from its version folder."""

    @abstractmethod
    def answer(self, inputs: Mapping[str, np.ndarray | None]) -> Sequence[np.ndarray]:
        """Outputs of one request, in the contract's order. inputs: by name, batch first; None = left out."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Triton calls this with every request that waits; each gets its own answer or its own error."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        try:
            with self.durations.measured():
                outputs = self.answer({tensor.name: _read(request, tensor) for tensor in self.contract.inputs})
            return pb_utils.InferenceResponse(
                output_tensors=[
                    pb_utils.Tensor(tensor.name, np.ascontiguousarray(values, dtype=_NUMPY[tensor.datatype]))
                    for tensor, values in zip(self.contract.outputs, outputs, strict=True)
                ]
            )
        except InvalidInput as problem:
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError(fit(str(problem)), pb_utils.TritonError.INVALID_ARG)
            )
        except Exception as error:  # anything else is our fault: told to this caller and the log, not to its neighbours
            traceback.print_exc(file=sys.stderr)
            message = f"{self.name} failed: {type(error).__name__}: {error}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(fit(message), pb_utils.TritonError.INTERNAL))


def _read(request: Any, tensor: Tensor) -> np.ndarray | None:
    found = pb_utils.get_input_tensor_by_name(request, tensor.name)
    if found is None and tensor.refused_if_missing:
        raise InvalidInput(
            f"the input {tensor.name} is missing",
            expected=f"{tensor.name} in every request",
            fix="send it, with one value for each item",
        )
    return None if found is None else found.as_numpy()


def read_config(folder: Path) -> ModelConfig:
    """The model's configuration that the repository builder put beside model.py."""
    return ModelConfig.from_json((folder / CONFIG_FILE).read_text(encoding="utf-8"))
