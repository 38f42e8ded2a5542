"""One graph -> one ONNX file, accepted only if it computes what torch computes."""

from __future__ import annotations

import inspect
import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from sat2sound.errors import ConfigurationError
from sat2sound.export.graphs import Arrays, Graph

OPSET = 20
CHECKED_BATCHES = (1, 2, 5)
_SEED = 20_260_611


@dataclass(frozen=True)
class ExportedGraph:
    """What came of one export. difference: the largest found, relative to the largest magnitude of torch's output."""

    name: str
    path: Path
    size_bytes: int
    opset: int
    difference: float
    tolerance: float
    seconds: float


class GraphRejected(ConfigurationError):
    """An exported graph differs from torch; the message lists every difference."""


def export_graph(graph: Graph, folder: Path) -> ExportedGraph:
    """Export to `<folder>/<name>.onnx` and compare with torch. Raises GraphRejected listing all that differs."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{graph.name}.onnx"
    _write(graph, path)
    difference = _compare(graph, path)
    size = sum(file.stat().st_size for file in folder.glob(f"{graph.name}.onnx*"))
    return ExportedGraph(graph.name, path, size, OPSET, difference, graph.tolerance, time.monotonic() - started)


def _write(graph: Graph, path: Path) -> None:
    inputs, outputs = graph.contract.inputs, graph.contract.outputs
    # Two items, so that the exporter does not take the batch for a constant.
    example = graph.examples(2, np.random.default_rng(_SEED))
    arguments = tuple(torch.from_numpy(example[tensor.name]) for tensor in inputs)
    batch = torch.export.Dim("batch", min=1, max=4096)
    varying: dict[str, torch.export.Dim] = {}
    shapes = []
    for tensor in inputs:
        axes = {0: batch}
        for axis, dim in enumerate(tensor.dims, start=1):
            if dim == -1:  # the same symbol for every input that varies together
                axes[axis] = varying.setdefault("length", torch.export.Dim("length", min=1, max=4096))
        shapes.append(axes)
    with warnings.catch_warnings():
        # The exporter's deprecations and tracing notes concern its internals; the comparison judges the result.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            graph.module,
            arguments,
            str(path),
            input_names=[tensor.name for tensor in inputs],
            output_names=[tensor.name for tensor in outputs],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=_nested_like_arguments(graph.module, shapes),
            external_data=False,
            verbose=False,
            optimize=True,
        )


def _nested_like_arguments(module: torch.nn.Module, shapes: list[dict[int, Any]]) -> tuple[Any, ...]:
    """One entry per parameter of the module's forward, those of `*arguments` together in one, as the exporter wants."""
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return tuple(shapes)
    alone = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*shapes[:alone], tuple(shapes[alone:]))


def session(path: Path) -> onnxruntime.InferenceSession:
    """An onnxruntime session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _compare(graph: Graph, path: Path) -> float:
    """The largest relative difference over `CHECKED_BATCHES`. Raises GraphRejected."""
    problems = interface_problems(graph, path)
    worst = 0.0
    if not problems:
        run = session(path)
        for batch in CHECKED_BATCHES:
            values = graph.examples(batch, np.random.default_rng(_SEED + batch))
            expected = torch_outputs(graph, values)
            found = run.run(None, values)
            for tensor, want, got in zip(graph.contract.outputs, expected, found, strict=True):
                problem, difference = _difference(tensor.name, batch, want, np.asarray(got), graph.tolerance)
                worst = max(worst, difference)
                problems += problem
    if problems:
        raise GraphRejected(f"{path}: the graph differs from torch:\n  " + "\n  ".join(problems))
    return worst


def torch_outputs(graph: Graph, values: Arrays) -> list[np.ndarray]:
    """What torch computes for these inputs, one array per output of the contract."""
    with torch.inference_mode():
        result = graph.module(*(torch.from_numpy(values[tensor.name]) for tensor in graph.contract.inputs))
    outputs = result if isinstance(result, tuple) else (result,)
    return [output.numpy() for output in outputs]


def _difference(name: str, batch: int, want: np.ndarray, got: np.ndarray, tolerance: float) -> tuple[list[str], float]:
    where = f"{name} (batch {batch})"
    if want.shape != got.shape or want.dtype != got.dtype:
        return [f"{where}: {got.dtype}{list(got.shape)}, expected {want.dtype}{list(want.shape)}"], 0.0
    if not np.isfinite(got.astype(np.float64)).all():
        return [f"{where}: not finite"], float("inf")
    gap = float(np.abs(want.astype(np.float64) - got.astype(np.float64)).max())
    relative = gap / max(1e-12, float(np.abs(want.astype(np.float64)).max()))
    return ([f"{where}: differs by {relative:.2e}, allowed {tolerance:.0e}"] if relative > tolerance else []), relative


def interface_problems(graph: Graph, path: Path) -> list[str]:
    """Where the file's inputs and outputs contradict the contract: names, types, dynamic and fixed axes."""
    model = onnx.load(str(path), load_external_data=False)
    problems = []
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("", 0) < 18:
        problems.append(f"opset {opsets.get('')}, expected at least 18")
    for side, declared, found in (
        ("input", graph.contract.inputs, model.graph.input),
        ("output", graph.contract.outputs, model.graph.output),
    ):
        names = [value.name for value in found]
        if names != [tensor.name for tensor in declared]:
            problems.append(f"{side}s are {names}, expected {[tensor.name for tensor in declared]}")
            continue
        for tensor, value in zip(declared, found, strict=True):
            kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
            if {"FLOAT": "FP32"}.get(kind, kind) != tensor.datatype:
                problems.append(f"{tensor.name} is {kind}, expected {tensor.datatype}")
            dims = value.type.tensor_type.shape.dim
            if len(dims) != len(tensor.dims) + 1:
                problems.append(f"{tensor.name} has {len(dims)} dimensions, expected {len(tensor.dims) + 1}")
            elif not dims[0].dim_param:
                problems.append(f"{tensor.name}: the batch is fixed at {dims[0].dim_value}")
    return problems
