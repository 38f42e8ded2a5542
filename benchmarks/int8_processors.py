"""Are INT8 products right on processors without VNNI? Run it on one, or on an emulated one (Debian: qemu-user).

    qemu-x86_64 -cpu Haswell .venv/bin/python benchmarks/int8_processors.py
    qemu-x86_64 -cpu EPYC-Milan .venv/bin/python benchmarks/int8_processors.py

Compares onnxruntime's integer products with exact ones, for the weights that cpu-int8 writes and for weights in the
whole range of 8 bits. Those need VNNI; ours must be right everywhere: exit code 1 if they are not.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sat2sound.export.precision.int8 import quantise_weight

ROWS, DEPTH, COLUMNS = 8, 256, 64
ZERO_POINT = 128


def whole_range(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """The usual way: each column's largest weight becomes 127."""
    return np.rint(weight / np.abs(weight).max(axis=0) * 127).astype(np.int8)


def product(activations: npt.NDArray[np.uint8], weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """onnxruntime's (activations - 128) @ weights."""
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["X", "weights", "zero_point"], ["Y"])],
        "product",
        [helper.make_tensor_value_info("X", TensorProto.UINT8, [ROWS, DEPTH])],
        [helper.make_tensor_value_info("Y", TensorProto.INT32, [ROWS, COLUMNS])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.uint8(ZERO_POINT), "zero_point")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"X": activations})[0])


def main() -> None:
    """Count the wrong integers."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((ROWS, DEPTH)).astype(np.float32)
    rows[0] = np.abs(rows[0])  # as behind a GELU
    rows[1] = 1
    activations = np.rint(rows / np.abs(rows).max(axis=1, keepdims=True) * 127 + ZERO_POINT).astype(np.uint8)
    weight = random.standard_normal((DEPTH, COLUMNS)).astype(np.float32)
    ways = {"whole range of 8 bits": whole_range(weight), "as in cpu-int8": quantise_weight(weight)[0]}
    wrong = {}
    for way, integers in ways.items():
        exact = (activations.astype(np.int32) - ZERO_POINT) @ integers.astype(np.int32)
        wrong[way] = int((product(activations, integers) != exact).sum())
        print(f"{way:22} {wrong[way]:4} of {exact.size} integers wrong")
    sys.exit(1 if wrong["as in cpu-int8"] else 0)


if __name__ == "__main__":
    main()
