"""From a model's Triton configuration to onnxruntime's session options, by the native backend's keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime

# optimization { graph { level } } as the native backend reads it; without it, everything is on.
_LEVELS = {
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_MODES = {"0": onnxruntime.ExecutionMode.ORT_SEQUENTIAL, "1": onnxruntime.ExecutionMode.ORT_PARALLEL}
_SWITCHES = {"0": False, "false": False, "1": True, "true": True}
_PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


def session_options(config: Mapping[str, Any]) -> onnxruntime.SessionOptions:
    """Options from a Triton model configuration as JSON.

    Parameters: intra_op_thread_count, inter_op_thread_count (0 = onnxruntime's choice), execution_mode (0 sequential, 1
    parallel), enable_mem_arena, enable_mem_pattern, and onnxruntime's own session entries by their names, e.g.
    session.intra_op.allow_spinning (the native backend ignores those that it does not know). Raises ValueError naming
    the parameter whose value is not allowed.
    """
    parameters = {name: entry["string_value"] for name, entry in config.get("parameters", {}).items()}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = _integer(parameters, "intra_op_thread_count")
    options.inter_op_num_threads = _integer(parameters, "inter_op_thread_count")
    options.execution_mode = _choice(parameters, "execution_mode", _MODES, "0")
    options.enable_cpu_mem_arena = _choice(parameters, "enable_mem_arena", _SWITCHES, "1")
    options.enable_mem_pattern = _choice(parameters, "enable_mem_pattern", _SWITCHES, "1")
    level = str(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _choice(
        {"optimization.graph.level": level}, "optimization.graph.level", {str(k): v for k, v in _LEVELS.items()}, "0"
    )
    for name, value in parameters.items():
        if name.startswith("session."):
            options.add_session_config_entry(name, value)
    return options


def providers(config: Mapping[str, Any], kind: str, device: int) -> list[str | tuple[str, dict[str, str]]]:
    """Execution providers, the preferred one first. kind: "CPU" or "GPU" of this instance.

    Raises ValueError if the configuration asks for an accelerator that this onnxruntime was not built with.
    """
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    listed = accelerators.get(f"{kind.lower()}_execution_accelerator", [])
    wanted = {str(entry["name"]): dict(entry.get("parameters", {})) for entry in listed}
    if kind == "GPU":
        wanted.setdefault("cuda", {})
    available = onnxruntime.get_available_providers()
    lacking = [name for name in wanted if _PROVIDERS.get(name) not in available]
    if lacking:
        raise ValueError(
            f"this onnxruntime has no {', '.join(lacking)} (it has {', '.join(available)}); use a profile for the CPU, "
            "or the server container with the native backend"
        )
    chosen: list[str | tuple[str, dict[str, str]]] = [
        (_PROVIDERS[name], {**settings, "device_id": str(device)}) if kind == "GPU" else _PROVIDERS[name]
        for name, settings in wanted.items()
    ]
    return [*chosen, "CPUExecutionProvider"]


def _integer(parameters: Mapping[str, str], name: str) -> int:
    value = parameters.get(name, "0")
    if not value.isdecimal():
        raise ValueError(f"parameter {name} is {value!r}; expected a whole number, 0 for onnxruntime's own choice")
    return int(value)


def _choice(parameters: Mapping[str, str], name: str, choices: Mapping[str, Any], default: str) -> Any:
    value = parameters.get(name, default).lower()
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
    return choices[value]
