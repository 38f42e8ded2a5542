"""Run several requests as few batches as their shapes allow, without letting one harm another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


def run_together(requests: Sequence[Arrays], run: Callable[[Arrays], Arrays]) -> list[Arrays | Exception]:
    """One result per request, in their order; an exception in the place of each request that failed.

    requests: inputs by name, batch first; all have the same names. run: computes outputs, batch first, from inputs.
    Requests whose shapes agree apart from the batch are joined. If a joined batch fails, its requests run one by one.
    """
    results: list[Arrays | Exception] = [{}] * len(requests)
    for members in _alike(requests):
        for index, result in zip(members, _run_joined([requests[index] for index in members], run), strict=True):
            results[index] = result
    return results


def _alike(requests: Sequence[Arrays]) -> list[list[int]]:
    """Indexes of requests that can share a batch."""
    groups: dict[Any, list[int]] = {}
    for index, inputs in enumerate(requests):
        shapes = tuple((name, array.shape[1:], array.dtype.str) for name, array in sorted(inputs.items()))
        groups.setdefault(shapes, []).append(index)
    return list(groups.values())


def _run_joined(requests: Sequence[Arrays], run: Callable[[Arrays], Arrays]) -> list[Arrays | Exception]:
    try:
        if len(requests) == 1:
            return [run(requests[0])]
        outputs = run({name: np.concatenate([inputs[name] for inputs in requests]) for name in requests[0]})
        ends = np.cumsum([len(next(iter(inputs.values()))) for inputs in requests])
        parts = {name: np.split(array, ends[:-1]) for name, array in outputs.items()}
        return [{name: parts[name][place] for name in outputs} for place in range(len(requests))]
    except Exception as error:  # whatever onnxruntime raises: it concerns these requests only
        if len(requests) == 1:
            return [error]
        return [result for request in requests for result in _run_joined([request], run)]
