"""Half precision with float32 islands, for GPUs; precision lives in the graph, as TensorRT 11 wants it."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
from onnxruntime.transformers import float16

from sat2sound.export.precision.files import save

# What loses too much in 10 bits of mantissa or overflows at 65,504: sums over a whole row (norms, softmax), sines of
# large positions, and the arithmetic before the first layer (coordinates, pixels up to 255, comparisons with ranges).
ISLANDS = (
    *("LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "Pow", "Sqrt"),
    *("Sin", "Cos", "IsNaN", "Where", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"),
    *("Range", "Min", "Max", "Floor", "Round", "CumSum", "TopK", "Resize"),
)


def to_float16(source: Path, destination: Path) -> None:
    """Write the graph at `source` in float16. Inputs and outputs keep the data types of the wire contract."""
    model = onnx.load(str(source))
    with warnings.catch_warnings():
        # The converter tells of every weight below float16's smallest number; the gates judge what that costs.
        warnings.simplefilter("ignore")
        converted = float16.convert_float_to_float16(
            model, keep_io_types=True, op_block_list=list(ISLANDS), disable_shape_infer=True
        )
    save(converted, destination, like=source)
