"""One torch module -> one ONNX file, the same bytes whenever and wherever it is written."""

from __future__ import annotations

import inspect
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx_ir
import torch

from sat2sound.export.graphs import Graph
from sat2sound.export.limits import EXTERNAL_DATA_ABOVE

OPSET = 20
_LARGEST = 4096  # items, and tokens or queries per item


def write_graph(graph: Graph, path: Path, external_data_above: int = EXTERNAL_DATA_ABOVE) -> None:
    """Export to `path`, and to `<path>.data` if the weights have more bytes than `external_data_above`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The exporter's deprecations and tracing notes concern its internals; the gates judge the result.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            graph.module,
            tuple(torch.from_numpy(graph.example[tensor.name]) for tensor in graph.contract.inputs),
            input_names=[tensor.name for tensor in graph.contract.inputs],
            output_names=[tensor.name for tensor in graph.contract.outputs],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=_dynamic_shapes(graph),
            verbose=False,
            optimize=True,
        )
    if program is None:
        raise RuntimeError(f"torch exported nothing for {graph.name}")
    _forget_where_it_came_from(program.model)
    weights = sum(value.const_value.nbytes for value in program.model.graph.initializers.values() if value.const_value)
    program.save(path, external_data=weights > external_data_above)


def _dynamic_shapes(graph: Graph) -> tuple[Any, ...]:
    """The batch everywhere, and the same symbol for every input that varies together besides."""
    batch = torch.export.Dim("batch", min=1, max=_LARGEST)
    length = torch.export.Dim("length", min=1, max=_LARGEST)
    shapes = [
        {0: batch} | {axis: length for axis, dim in enumerate(tensor.dims, start=1) if dim == -1}
        for tensor in graph.contract.inputs
    ]
    # One entry per parameter of forward, those of `*arguments` together in one, as the exporter wants.
    kinds = [parameter.kind for parameter in inspect.signature(graph.module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return tuple(shapes)
    alone = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*shapes[:alone], tuple(shapes[alone:]))


def _forget_where_it_came_from(model: onnx_ir.Model) -> None:
    """Remove stack traces and notes: they name this machine's folders and are no part of what a graph computes."""
    model.metadata_props.clear()
    model.doc_string = None
    scopes: list[onnx_ir.Graph | onnx_ir.Function] = [model.graph, *model.functions.values()]
    for scope in scopes:
        scope.metadata_props.clear()
        for node in onnx_ir.traversal.RecursiveGraphIterator(scope):
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
