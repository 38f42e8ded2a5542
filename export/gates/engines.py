"""Gate: the engines that a repository names are those of its graphs, each for the GPU that it is named for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]

from sat2sound.errors import ConfigurationError
from sat2sound.export.gates.report import GateResult
from sat2sound.export.tensorrt.keys import EngineKey, onnx_digest
from sat2sound.export.triton_config import parse


def check_engines(graph: str, config: Path, onnx: Path, known: Mapping[str, Any]) -> GateResult:
    """config: config.pbtxt. onnx: the graph's file; engines lie beside it. known: what the manifest says of them, the
    parts of a key by compute capability. An engine that no configuration names is none of Triton's business.
    """
    try:
        named = dict(parse(config.read_text(encoding="utf-8")).cc_model_filenames)
        digest = onnx_digest(onnx) if named else ""
    except (OSError, UnicodeDecodeError, text_format.ParseError, ConfigurationError) as error:
        return GateResult("engines", graph, problems=(f"cannot be read ({type(error).__name__}: {error})",))
    problems = []
    for capability, file in sorted(named.items()):
        wrong = _problem(capability, file, digest, onnx.parent / file, known.get(capability))
        problems += [f"engine {file} for compute capability {capability}: {wrong}"] if wrong else []
    return GateResult("engines", graph, problems=tuple(problems))


def _problem(capability: str, file: str, digest: str, engine: Path, parts: Any) -> str | None:
    try:
        key = EngineKey(**parts)
    except TypeError:
        return "the manifest does not say what it was built of"
    if key.file != file:
        return f"the manifest knows {key.file} for it"
    if key.compute_capability != capability:
        return f"it was built for {key.compute_capability}"
    if key.onnx != digest:
        return "it was built of another graph"
    return None if engine.is_file() else "there is no such file"
