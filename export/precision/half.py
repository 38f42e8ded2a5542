"""Half precision with float32 islands, for GPUs; precision lives in the graph, as TensorRT 11 wants it."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
from onnx import TensorProto
from onnxruntime.transformers import float16
from onnxruntime.transformers.onnx_model import OnnxModel

from sat2sound.export.precision.files import save

# What loses too much in 10 bits of mantissa or overflows at 65,504: sums over a whole row (norms, softmax), and
# comparisons of conditions with their ranges.
_KEPT = "_cast_to_fp16"  # how the converter names the float32 output of a node that it leaves alone
ISLANDS = (
    *("LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "Pow", "Sqrt"),
    *("IsNaN", "Where", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"),
    *("Range", "Min", "Max", "Floor", "Round", "CumSum", "TopK", "Resize"),
)


def to_float16(source: Path, destination: Path) -> None:
    """Write the graph at `source` in float16. Inputs and outputs keep the data types of the wire contract."""
    save(halved(onnx.load(str(source))), destination, like=source)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The float32 graph, with weights in the message, in float16; the argument is used up."""
    with warnings.catch_warnings():
        # The converter tells of every weight below float16's smallest number; the gates judge what that costs.
        warnings.simplefilter("ignore")
        converted: onnx.ModelProto = float16.convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=list(ISLANDS),
            node_block_list=sorted(_towards(model.graph, "Sin", "Cos")),
            disable_shape_infer=True,
        )
    _without_detours(converted.graph)
    # The converter puts its casts at the end; ONNX wants every node after those that it takes from.
    OnnxModel(converted).topological_sort(is_deterministic=True)
    return converted


def _without_detours(graph: onnx.GraphProto) -> None:
    """Let float32 neighbours hand on float32: the converter rounds to float16 and back between any two of them."""
    exact = {entry.name for entry in graph.input if entry.type.tensor_type.elem_type == TensorProto.FLOAT}
    rounded = {
        node.output[0]: node.input[0]
        for node in graph.node
        if _casts_to(node, TensorProto.FLOAT16) and (node.input[0] in exact or node.input[0].endswith(_KEPT))
    }
    back = {
        node.output[0]: rounded[node.input[0]]
        for node in graph.node
        if _casts_to(node, TensorProto.FLOAT) and node.input[0] in rounded
    }
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = back.get(name, name)
    needed = {name for node in graph.node for name in node.input} | {entry.name for entry in graph.output}
    kept = [node for node in graph.node if node.op_type != "Cast" or node.output[0] in needed]
    del graph.node[:]
    graph.node.extend(kept)


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return bool(node.op_type == "Cast" and node.attribute[0].i == kind)


def _towards(graph: onnx.GraphProto, *operators: str) -> set[str]:
    """Names of these operators' nodes and of all that they compute from.

    Positions on the ground, in hundreds of metres, and their frequencies: rounded to float16 before the sine, a tenth
    of a turn is lost (seen: cosine 0.9997 of a token at a ground sample distance of 1,000 m).
    """
    makers = {output: node for node in graph.node for output in node.output}
    found: set[str] = set()
    waiting = [node for node in graph.node if node.op_type in operators]
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting.extend(makers[name] for name in node.input if name in makers)
    return found
