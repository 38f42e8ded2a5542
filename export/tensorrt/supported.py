"""Gate: would TensorRT's ONNX parser take this graph? So that an unsupported one fails here, not on the GPU node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference

from sat2sound.export.gates.report import GateResult
from sat2sound.export.profiles import Profile
from sat2sound.export.tensorrt import operators as table

_STANDARD = ("", "ai.onnx")
_DATA_INPUT = {"Where": 1}  # the first is the condition
_TYPED_BY_OUTPUT = ("Constant", "ConstantOfShape")


def check(path: Path) -> list[str]:
    """Problems of an ONNX file by the table in `operators`, one line each; weights are not read. Raises OSError."""
    model = onnx.load(str(path), load_external_data=False)
    opset = next((entry.version for entry in model.opset_import if entry.domain in _STANDARD), 0)
    problems = []
    if not table.OLDEST_OPSET <= opset <= table.NEWEST_OPSET:
        problems.append(f"opset {opset}, expected {table.OLDEST_OPSET} to {table.NEWEST_OPSET}")
    if model.functions:
        problems.append(f"has functions of its own ({model.functions[0].name}, ...), which are not checked")
    return problems + list(_Graph(model).problems())


def check_supported(profile: Profile, files: Mapping[str, Path]) -> list[GateResult]:
    """The gate's result for each graph that the profile runs as an engine. files: ONNX file by graph."""
    return [GateResult("TensorRT operators", name, problems=tuple(check(files[name]))) for name in profile.engines]


class _Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        model.graph.ClearField("value_info")  # of a converted graph they may be those of its float32 original
        self._graph = shape_inference.infer_shapes(model).graph
        values = (*self._graph.input, *self._graph.value_info, *self._graph.output)
        self._types = {value.name: value.type.tensor_type.elem_type for value in values}
        self._types |= {tensor.name: tensor.data_type for tensor in self._graph.initializer}
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        for node in self._graph.node:
            if node.op_type == "Constant":
                tensors = (entry.t for entry in node.attribute if entry.name == "value")
                self._constants[node.output[0]] = next(tensors, TensorProto())
        self._ends = {value.name for value in self._graph.output}

    def problems(self) -> Iterator[str]:
        for node in self._graph.node:
            yield from (f"{node.op_type} {node.name or node.output[0]}: {problem}" for problem in self._node(node))

    def _node(self, node: NodeProto) -> Iterator[str]:
        if node.domain not in _STANDARD:
            yield f"of the domain {node.domain}, which TensorRT does not know"
            return
        if node.op_type not in table.OPERATORS:
            yield "not among the operators that TensorRT's parser supports"
            return
        yield from self._data_type(node)
        place = table.CONSTANT_INPUTS.get(node.op_type)
        if place is not None and len(node.input) > place and node.input[place] not in ("", *self._constants):
            yield f"input {place} ({node.input[place]}) must be a constant"
        if node.op_type in table.ONE_OUTPUT and any(node.output[1:]):
            yield "only the first output is supported"
        settings = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        yield from self._limits(node, settings)

    def _data_type(self, node: NodeProto) -> Iterator[str]:
        place = _DATA_INPUT.get(node.op_type, 0)
        name = node.output[0] if node.op_type in _TYPED_BY_OUTPUT else node.input[place]
        kind = TensorProto.DataType.Name(self._types.get(name, TensorProto.UNDEFINED))
        allowed = table.OPERATORS[node.op_type]
        if kind not in allowed:
            yield f"{name} is {kind}, expected {', '.join(sorted(allowed))}"
        to_bytes = node.op_type == "Cast" and self._types.get(node.output[0]) == TensorProto.UINT8
        if to_bytes and node.output[0] not in self._ends:
            yield f"{node.output[0]} is UINT8 inside the network; only inputs and outputs may be"

    def _limits(self, node: NodeProto, settings: Mapping[str, Any]) -> Iterator[str]:
        if node.op_type == "TopK":
            if settings.get("sorted", 1) != 1:
                yield "must be sorted"
            tensor = self._constants.get(node.input[1])
            if tensor is not None and (k := int(numpy_helper.to_array(tensor).reshape(-1)[0])) >= table.TOP_K:
                yield f"K is {k}, expected less than {table.TOP_K}"
        if node.op_type == "Resize":
            for name, allowed in table.RESIZE.items():
                value = settings.get(name, table.RESIZE_DEFAULTS[name].encode()).decode()
                if value not in allowed:
                    yield f"{name} is {value}, expected {', '.join(allowed)}"
            if settings.get("antialias", 0):
                yield "antialiasing is not supported"
        if node.op_type in ("AveragePool", "MaxPool") and set(settings.get("dilations", [1])) != {1}:
            yield "dilations must be 1"
        if node.op_type == "ScatterND" and settings.get("reduction", b"none") != b"none":
            yield "reduction is not supported"
        if node.op_type == "Constant" and "value" not in settings and "sparse_value" in settings:
            yield "sparse constants are not supported"
