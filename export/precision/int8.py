"""INT8 matrix products whose activation scales belong to one row (token) each.

onnxruntime's own dynamic INT8 takes one scale for a whole batch, so that an image embeds differently beside other
images; static scales need calibration data that resemble what users send. One scale per row needs neither: it is
computed from that row, and costs two reductions (benchmarks/int8.py measures all three). Weights get one scale per
output column. Products are accumulated in 32-bit integers; everything else stays float32.

Processors without VNNI (Intel before Ice Lake, AMD before Zen 4) first add two neighbouring products in 16 bits, and
what does not fit is cut off without a word: 8-bit weights gave wrong integers there (benchmarks/int8_processors.py).
So two weights that meet there share the range of one, and a graph computes the same on every processor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from sat2sound.export.precision.files import save

_MICROSOFT = "com.microsoft"  # MatMulIntegerToFloat: a contributed operator of onnxruntime, also in Triton's backend
SMALLEST_SIDE = 64  # below it, quantising the activations costs more than the product saves
_LEVELS = 127.0
_ZERO_POINT = 128  # unsigned activations, signed weights: what the CPU's VNNI instructions multiply


def quantise(source: Path, destination: Path) -> int:
    """Write the graph at `source` with its large constant matrix products in INT8; returns how many there were."""
    model = onnx.load(str(source))
    rewriting = _Rewriting(model.graph)
    count = rewriting.run()
    if count:
        model.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
    save(model, destination, like=source)
    return count


def quantise_weight(
    weight: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """float32 [K, N] -> int8 [K, N] and the float32 [N] that its columns are to be multiplied by.

    The magnitudes of rows 2i and 2i+1 of a column sum to 128 at most: times 255, the largest activation, that is
    32,640, which 16 bits hold.
    """
    rows = np.abs(weight)
    if len(rows) % 2:
        rows = np.concatenate([rows, np.zeros_like(rows[:1])])
    scale = (rows[0::2] + rows[1::2]).max(axis=0) / _LEVELS
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.clip(np.rint(weight / scale), -_LEVELS, _LEVELS).astype(np.int8), scale


class _Rewriting:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._constants: dict[str, TensorProto] = {}
        self._nodes: list[NodeProto] = []
        self._quantised: dict[str, str] = {}  # input -> prefix of its quantised form: q, k and v share theirs

    def run(self) -> int:
        count = 0
        for node in self._graph.node:
            if self._is_large_product(node):
                self._product(node)
                count += 1
            else:
                self._nodes.append(node)
        used = {name for node in self._nodes for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend([*kept, *self._constants.values()])
        return count

    def _is_large_product(self, node: NodeProto) -> bool:
        weight = self._weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or weight.data_type != TensorProto.FLOAT or len(weight.dims) != 2:
            return False
        return bool(min(weight.dims) >= SMALLEST_SIDE)

    def _product(self, node: NodeProto) -> None:
        source, weight_name = node.input
        (output,) = node.output
        weight = numpy_helper.to_array(self._weights[weight_name])
        activations = self._quantise_rows(source, weight.shape[0])
        integers, scale = quantise_weight(weight)
        product = f"{output}.product"
        self._add(
            "MatMulIntegerToFloat",
            [
                f"{activations}.integers",
                self._constant(f"{weight_name}.int8", integers),
                # The rows' scales cannot be given here (one for all, the operator says): they follow below.
                self._constant("int8.one", np.float32(1)),
                self._constant(f"{weight_name}.scale", scale),
                self._constant("int8.zero_point", np.uint8(_ZERO_POINT)),
            ],
            product,
            domain=_MICROSOFT,
        )
        width = self._constant(f"int8.width.{weight.shape[1]}", np.array([weight.shape[1]], np.int64))
        self._add("Concat", [f"{activations}.leading", width], f"{output}.shape", axis=0)
        self._add("Reshape", [product, f"{output}.shape"], f"{output}.unscaled")
        self._add("Mul", [f"{output}.unscaled", f"{activations}.scale"], output)

    def _quantise_rows(self, source: str, width: int) -> str:
        """Nodes that quantise the last axis of `source`, once; their common prefix."""
        if source in self._quantised:
            return self._quantised[source]
        prefix = self._quantised[source] = f"{source}.rows"
        last = self._constant("int8.last_axis", np.array([-1], np.int64))
        self._add("ReduceMax", [source, last], f"{prefix}.highest", keepdims=1)
        self._add("ReduceMin", [source, last], f"{prefix}.lowest", keepdims=1)
        self._add("Neg", [f"{prefix}.lowest"], f"{prefix}.depth")
        smallest = self._constant("int8.smallest", np.float32(1e-12))  # a row of zeros has a scale too
        self._add("Max", [f"{prefix}.highest", f"{prefix}.depth", smallest], f"{prefix}.magnitude")
        step = self._constant("int8.step", np.float32(1 / _LEVELS))
        self._add("Mul", [f"{prefix}.magnitude", step], f"{prefix}.scale")
        # As a matrix, so that QuantizeLinear takes one scale per row.
        self._add("Reshape", [f"{prefix}.scale", last], f"{prefix}.scales")
        self._add("Shape", [f"{prefix}.scales"], f"{prefix}.count")
        zero = numpy_helper.from_array(np.array([_ZERO_POINT], np.uint8))
        self._add("ConstantOfShape", [f"{prefix}.count"], f"{prefix}.zero_points", value=zero)
        matrix = self._constant(f"int8.matrix.{width}", np.array([-1, width], np.int64))
        self._add("Reshape", [source, matrix], f"{prefix}.matrix")
        inputs = [f"{prefix}.matrix", f"{prefix}.scales", f"{prefix}.zero_points"]
        self._add("QuantizeLinear", inputs, f"{prefix}.integers", axis=0)
        self._add("Shape", [source], f"{prefix}.shape")
        first = self._constant("int8.first", np.array([0], np.int64))
        self._add("Slice", [f"{prefix}.shape", first, last], f"{prefix}.leading")
        return prefix

    def _constant(self, name: str, values: npt.NDArray[np.generic] | np.generic) -> str:
        self._constants.setdefault(name, numpy_helper.from_array(np.asarray(values), name))
        return name

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
