"""Gate: Triton's configurations say what the wire contract says and what the graphs are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2

from sat2sound.contract import Dimensions, ModelContract
from sat2sound.export.gates.report import GateResult
from sat2sound.export.gates.runtime import session
from sat2sound.export.gates.tolerances import Precision
from sat2sound.export.profiles import Profile
from sat2sound.export.triton_config import model_config, parse
from sat2sound.serving.backends.onnxruntime.signature import mismatches


def check_configuration(
    contract: ModelContract, dimensions: Dimensions, profile: Profile, config: Path, graph: Path | None
) -> GateResult:
    """config: config.pbtxt. graph: the ONNX file it is for, if it is for one. Tuning (instances, delays) is free."""
    try:
        found = parse(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        problem = f"{config.name} cannot be read ({type(error).__name__}: {error})"
        return GateResult("configuration", contract.name, problems=(problem,))
    expected = model_config(contract, dimensions, profile)
    problems = [
        f"{what} in config.pbtxt differ from the contract's: {_short(one)}, expected {_short(other)}"
        for what, one, other in (
            ("inputs", found.input, expected.input),
            ("outputs", found.output, expected.output),
            ("ensemble steps", found.ensemble_scheduling.step, expected.ensemble_scheduling.step),
            ("GPU settings", _gpu_settings(found), _gpu_settings(expected)),
        )
        if list(one) != list(other)
    ]
    problems += [
        f"{field} in config.pbtxt is {getattr(found, field)!r}, expected {getattr(expected, field)!r}"
        for field in ("name", "backend", "platform", "default_model_filename")
        if getattr(found, field) != getattr(expected, field)
    ]
    if found.max_batch_size < 1:
        problems.append("config.pbtxt does not batch (max_batch_size is 0)")
    if graph is not None:
        problems += _graph_problems(found, graph, profile.precision(contract.name))
    return GateResult("configuration", contract.name, problems=tuple(problems))


def _graph_problems(found: model_config_pb2.ModelConfig, graph: Path, precision: Precision) -> list[str]:
    """What the backend itself would refuse to load."""
    config: dict[str, Any] = json_format.MessageToDict(found, preserving_proto_field_name=True)
    try:
        return mismatches(config, session(graph, precision))
    except Exception as error:  # whatever onnxruntime raises: it is what this gate is to find
        return [f"{graph.name} cannot be loaded ({type(error).__name__}: {error})"]


def _gpu_settings(config: model_config_pb2.ModelConfig) -> Any:
    return config.optimization.execution_accelerators.gpu_execution_accelerator


def _short(entries: Any) -> str:
    return "; ".join(text_format.MessageToString(entry, as_one_line=True) for entry in entries)
