"""A Triton backend over the onnxruntime wheel: every model whose config says `backend: "onnxruntime"` runs through it.

The production container has the native ONNX Runtime backend under the same name, so one model repository serves both.
The server finds this file as <backend directory>/onnxruntime/model.py and runs one process per model instance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

from sat2sound.serving.backends.onnxruntime.options import providers, session_options
from sat2sound.serving.backends.onnxruntime.signature import mismatches
from sat2sound.serving.backends.onnxruntime.together import Arrays, run_together
from sat2sound.serving.stub_check import require_working_tensors

DEFAULT_FILE = "model.onnx"


class TritonPythonModel:
    """One instance of one model: holds a session and runs whatever Triton's dynamic batcher gathered."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Nothing is guessed: configurations are complete, and `initialize` checks them against the graph."""
        return config

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load the graph of this version. What it raises becomes the reason why the model failed to load."""
        require_working_tensors(pb_utils)
        config = json.loads(arguments["model_config"])
        file = config.get("default_model_filename") or DEFAULT_FILE
        path = Path(arguments["model_repository"], arguments["model_version"], file)
        if not path.is_file():
            raise pb_utils.TritonModelException(f"{path} does not exist; build the repository again")
        chosen = providers(config, arguments["model_instance_kind"], int(arguments["model_instance_device_id"]))
        self._session = onnxruntime.InferenceSession(str(path), session_options(config), providers=chosen)
        problems = mismatches(config, self._session)
        if problems:
            raise pb_utils.TritonModelException(f"{path} does not fit its configuration: {'; '.join(problems)}")
        self._inputs = [entry["name"] for entry in config["input"]]
        self._outputs = [entry["name"] for entry in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request, in their order."""
        return [
            _respond(request, result)
            for request, result in zip(requests, run_together([*map(self._read, requests)], self._run), strict=True)
        ]

    def _read(self, request: Any) -> Arrays:
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}

    def _run(self, inputs: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))


def _respond(request: Any, result: Arrays | Exception) -> Any:
    if isinstance(result, Exception):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnxruntime: {result}"))
    wanted = request.requested_output_names()
    return pb_utils.InferenceResponse(
        output_tensors=[
            pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in result.items() if name in wanted
        ]
    )
