"""TF32: float32 numbers of which a GPU's tensor cores multiply only the first 10 bits of mantissa; sums stay float32.

TF32 is no data type of a graph: the file is the float32 one, and a switch of the runtime decides. onnxruntime's CUDA
provider has it on unless told otherwise (`use_tf32`), TensorRT builds engines with or without it. The CPU has no such
products, so that the gates run `rounded_products` instead.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from sat2sound.export.precision.files import save

PRODUCTS = ("MatMul", "Gemm", "Conv")
# A float32 has 24 significant bits, a TF32 operand 11. Kernels may cut the rest off; to round to 10 bits errs as much.
_SPLITTER = np.float32(2 ** (24 - 10) + 1)


def to_tf32(source: Path, destination: Path) -> None:
    """Write the graph at `source` as it is."""
    save(onnx.load(str(source)), destination, like=source)


def rounded_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with both operands of every product rounded as coarsely as TF32 may; the argument is changed.

    Rounded by splitting (Dekker 1971): c = splitter * x; c - (c - x) keeps the leading bits of x.
    """
    graph = model.graph
    rounded: dict[str, str] = {}
    nodes: list[NodeProto] = []
    for node in graph.node:
        for place in (0, 1) if node.op_type in PRODUCTS else ():
            name = node.input[place]
            if name not in rounded:
                nodes += _split(name)
                rounded[name] = f"{name}.tf32"
            node.input[place] = rounded[name]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.asarray(_SPLITTER), "tf32.splitter"))
    return model


def _split(name: str) -> list[NodeProto]:
    scaled, rest = f"{name}.tf32.scaled", f"{name}.tf32.rest"
    return [
        helper.make_node("Mul", [name, "tf32.splitter"], [scaled]),
        helper.make_node("Sub", [scaled, name], [rest]),
        helper.make_node("Sub", [scaled, rest], [f"{name}.tf32"]),
    ]
