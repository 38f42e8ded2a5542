"""Bfloat16 with float32 islands: the range of float32 in 16 bits, for encoders that overflow in float16 (Flan-T5).

onnxruntime's converter knows float16 only. It decides where casts and islands go; then every float16 becomes bfloat16,
with weights rounded from the float32 ones.

onnxruntime has no bfloat16 kernels for the CPU (no MatMul, seen with 1.32). `as_float32` writes what such a graph
computes with float32 kernels: everything that a bfloat16 operator takes or gives is rounded to bfloat16, sums are kept
in float32, as tensor cores do. That is what the gates run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from ml_dtypes import bfloat16
from onnx import TensorProto, helper, numpy_helper, shape_inference

from sat2sound.export.precision.files import save
from sat2sound.export.precision.half import halved

_LARGEST = float(np.array(0x7F7F, np.uint16).view(bfloat16))  # the largest finite bfloat16, 3.39e38
Floats = npt.NDArray[np.float32]


def to_bfloat16(source: Path, destination: Path) -> None:
    """Write the graph at `source` in bfloat16. Inputs and outputs keep the data types of the wire contract."""
    model = onnx.load(str(source))
    exact = dict(_constants(model.graph))
    converted = halved(model)
    converted.graph.ClearField("value_info")  # the converter's is partly that of the float32 graph
    for name, tensor in _tensors(converted.graph):
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(_rounded(tensor.name, exact.get(name, numpy_helper.to_array(tensor).astype(np.float32))))
    for node in converted.graph.node:
        for entry in node.attribute:
            if node.op_type == "Cast" and entry.name == "to" and entry.i == TensorProto.FLOAT16:
                entry.i = TensorProto.BFLOAT16
    save(converted, destination, like=source)


def as_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """What a bfloat16 graph computes, for a runtime without bfloat16 kernels; the argument is used up."""
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    short = {name for name, kind in kinds.items() if kind == TensorProto.BFLOAT16}
    for _, tensor in _tensors(model.graph):
        if tensor.data_type == TensorProto.BFLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Cast" and node.output[0] in short:
            _widen(node)
        for place, name in enumerate(node.output):
            if name in short:
                node.output[place] = f"{name}.exact"
                nodes.append(helper.make_node("Cast", [f"{name}.exact"], [f"{name}.short"], to=TensorProto.BFLOAT16))
                nodes.append(helper.make_node("Cast", [f"{name}.short"], [name], to=TensorProto.FLOAT))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.ClearField("value_info")
    return model


def _widen(cast: onnx.NodeProto) -> None:
    for entry in cast.attribute:
        if entry.name == "to":
            entry.i = TensorProto.FLOAT


def _rounded(name: str, values: Floats) -> TensorProto:
    # The lowest float32, which masks use, would round to minus infinity; times zero, that is not a number.
    short = np.clip(values, -_LARGEST, _LARGEST).astype(bfloat16)
    return helper.make_tensor(name, TensorProto.BFLOAT16, values.shape, short.tobytes(), raw=True)


def _tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Weights by their name, and constants by the name of what they become."""
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        yield from ((node.output[0], entry.t) for entry in node.attribute if entry.name == "value")


def _constants(graph: onnx.GraphProto) -> Mapping[str, Floats]:
    return {
        name: np.array(numpy_helper.to_array(tensor))
        for name, tensor in _tensors(graph)
        if tensor.data_type == TensorProto.FLOAT
    }
