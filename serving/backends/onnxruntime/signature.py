"""Does a graph have the inputs and outputs that its Triton configuration promises?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime

_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
}


def mismatches(config: Mapping[str, Any], session: onnxruntime.InferenceSession) -> list[str]:
    """What differs in names, data types and sizes, one line each; empty if the graph is what the configuration says.

    config: a Triton model configuration as JSON. A size that either side leaves open fits everything.
    """
    batched = int(config.get("max_batch_size", 0)) > 0
    return [
        *_differences("input", config.get("input", []), session.get_inputs(), batched),
        *_differences("output", config.get("output", []), session.get_outputs(), batched),
    ]


def _differences(what: str, declared: Sequence[Any], found: Sequence[Any], batched: bool) -> list[str]:
    graph = {node.name: node for node in found}
    promised = {entry["name"]: entry for entry in declared}
    lines = [f"{what} {name} is in the graph only" for name in graph if name not in promised]
    for name, entry in promised.items():
        if name not in graph:
            lines.append(f"{what} {name} is in the configuration only")
            continue
        node = graph[name]
        dims = ([-1] if batched else []) + [int(dim) for dim in entry["dims"]]
        if _TYPES.get(entry["data_type"]) != node.type:
            lines.append(f"{what} {name} is {node.type} in the graph, {entry['data_type']} in the configuration")
        if len(dims) != len(node.shape) or any(not _fits(*pair) for pair in zip(dims, node.shape, strict=True)):
            lines.append(f"{what} {name} has shape {node.shape} in the graph, {dims} in the configuration")
    return lines


def _fits(declared: int, found: Any) -> bool:
    """found: a number, or a symbol's name or None where the graph leaves the size open."""
    return declared == -1 or not isinstance(found, int) or declared == found
