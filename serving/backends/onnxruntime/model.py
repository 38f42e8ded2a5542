"""A Triton backend over the onnxruntime wheel: every model whose config says `backend: "onnxruntime"` runs through it.

The production container has the native ONNX Runtime backend under the same name, so one model repository serves both.
Honoured from the model's config, as the native backend does: the parameters intra_op_thread_count,
inter_op_thread_count and execution_mode; onnxruntime session configuration entries named
session.* (e.g. session.intra_op.allow_spinning); and optimization { graph { level } }.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

MODEL_FILE = "model.onnx"
# Triton's optimization.graph.level -> onnxruntime; as the native backend reads it
_OPTIMISATION = {
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
_ERRORS = onnxruntime.capi.onnxruntime_pybind11_state


def session_options(config: dict[str, Any]) -> onnxruntime.SessionOptions:
    """onnxruntime's options from a Triton model configuration (as JSON)."""
    parameters = {name: entry["string_value"] for name, entry in config.get("parameters", {}).items()}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 0))
    if parameters.get("execution_mode") == "1":
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    if level in _OPTIMISATION:
        options.graph_optimization_level = _OPTIMISATION[level]
    for name, value in parameters.items():
        if name.startswith("session."):
            options.add_session_config_entry(name, value)
    return options


class TritonPythonModel:
    """One instance of one model: holds a session and runs whatever Triton's dynamic batcher gathered."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Nothing is guessed: the configurations are complete, and checked against the graph in `initialize`."""
        return config

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load the graph of this version and check that the configuration names its inputs and outputs."""
        config = json.loads(arguments["model_config"])
        if arguments["model_instance_kind"] == "GPU":
            raise pb_utils.TritonModelException("this backend runs on the CPU; use the NGC container for KIND_GPU")
        path = Path(arguments["model_repository"], arguments["model_version"], MODEL_FILE)
        self.session = onnxruntime.InferenceSession(
            str(path), session_options(config), providers=["CPUExecutionProvider"]
        )
        self.inputs = [entry["name"] for entry in config["input"]]
        self.outputs = [entry["name"] for entry in config["output"]]
        for what, declared, found in (
            ("inputs", self.inputs, [node.name for node in self.session.get_inputs()]),
            ("outputs", self.outputs, [node.name for node in self.session.get_outputs()]),
        ):
            if sorted(declared) != sorted(found):
                raise pb_utils.TritonModelException(
                    f"{path}: the graph's {what} are {found}, the config says {declared}"
                )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request. Requests whose shapes agree run as one batch; a failing group fails alone."""
        responses: list[Any] = [None] * len(requests)
        arrays = [self._arrays(request) for request in requests]
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, values in enumerate(arrays):
            groups.setdefault(tuple(value.shape[1:] for value in values), []).append(index)
        for members in groups.values():
            for index, response in zip(members, self._run([arrays[index] for index in members]), strict=True):
                responses[index] = response
        return responses

    def _arrays(self, request: Any) -> list[np.ndarray]:
        return [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]

    def _run(self, batch: list[list[np.ndarray]]) -> list[Any]:
        """Responses of requests that share their shapes: joined along the batch, run once, and cut apart again."""
        sizes = [len(values[0]) for values in batch]
        joined = batch[0] if len(batch) == 1 else [np.concatenate(column) for column in zip(*batch, strict=True)]
        try:
            results = self.session.run(self.outputs, dict(zip(self.inputs, joined, strict=True)))
        except (_ERRORS.Fail, _ERRORS.InvalidArgument, _ERRORS.RuntimeException, RuntimeError, MemoryError) as error:
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnxruntime: {error}")) for _ in batch]
        cuts = np.cumsum(sizes)[:-1]
        parts = [np.split(result, cuts) for result in results] if len(batch) > 1 else [[result] for result in results]
        return [
            pb_utils.InferenceResponse(
                output_tensors=[
                    pb_utils.Tensor(name, np.ascontiguousarray(part[index]))
                    for name, part in zip(self.outputs, parts, strict=True)
                ]
            )
            for index in range(len(batch))
        ]
