"""How gates run a graph: onnxruntime on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from sat2sound.export.references import Arrays

Run = Callable[[Arrays], dict[str, np.ndarray]]


def session(path: Path) -> onnxruntime.InferenceSession:
    """A session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def runner(path: Path) -> Run:
    """The graph as a function from inputs to outputs by name. Raises onnxruntime's errors if it does not load."""
    opened = session(path)
    names = [output.name for output in opened.get_outputs()]

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(names, map(np.asarray, opened.run(names, dict(inputs))), strict=True))

    return run


def in_pieces(run: Run, inputs: Arrays, items: int = 8) -> dict[str, np.ndarray]:
    """The same on a large batch, a few items at a time: bounds memory."""
    count = len(next(iter(inputs.values())))
    parts = [
        run({name: array[start : start + items] for name, array in inputs.items()}) for start in range(0, count, items)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
