"""Gate: names, data types, dynamic and fixed axes of a graph are what the wire contract says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from sat2sound.contract import Dimensions, ModelContract, Tensor
from sat2sound.export.gates.report import GateResult

_TYPES = {"FLOAT": "FP32"}  # where ONNX's name differs from the contract's
_OLDEST_OPSET = 18


def check_interface(contract: ModelContract, dimensions: Dimensions, path: Path) -> GateResult:
    """Compare a file's inputs and outputs with the contract; weights are not read."""
    return GateResult("interface", contract.name, problems=tuple(interface_problems(contract, dimensions, path)))


def interface_problems(contract: ModelContract, dimensions: Dimensions, path: Path) -> list[str]:
    """One line per contradiction."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf and onnx raise several kinds
        return [f"{path.name} is not a readable ONNX file ({type(error).__name__})"]
    opset = {entry.domain: entry.version for entry in model.opset_import}.get("", 0)
    old = [f"opset {opset}, expected at least {_OLDEST_OPSET}"] if opset < _OLDEST_OPSET else []
    return [
        *old,
        *_side("input", contract.inputs, model.graph.input, dimensions),
        *_side("output", contract.outputs, model.graph.output, dimensions),
    ]


def _side(
    what: str, declared: Sequence[Tensor], found: Sequence[onnx.ValueInfoProto], dimensions: Dimensions
) -> list[str]:
    names, expected = [value.name for value in found], [tensor.name for tensor in declared]
    problems = [f"{what}s are {names}, expected {expected}"] if names != expected else []
    values = {value.name: value for value in found}
    for tensor in declared:
        if tensor.name in values:
            problems += _tensor(tensor, dimensions.resolve(tensor), values[tensor.name].type.tensor_type)
    return problems


def _tensor(tensor: Tensor, sizes: tuple[int, ...], found: onnx.TypeProto.Tensor) -> list[str]:
    kind = onnx.TensorProto.DataType.Name(found.elem_type)
    problems = []
    if _TYPES.get(kind, kind) != tensor.datatype:
        problems.append(f"{tensor.name} is {kind}, expected {tensor.datatype}")
    shape = [dim.dim_param or dim.dim_value for dim in found.shape.dim]
    expected = ["batch", *("any" if size == -1 else size for size in sizes)]
    fits = len(shape) == len(expected) and all(
        isinstance(size, str) if wanted in ("batch", "any") else size == wanted
        for size, wanted in zip(shape, expected, strict=True)
    )
    if not fits:
        problems.append(f"{tensor.name} has shape {shape}, expected {expected} (batch, any: dynamic)")
    return problems
