"""How gates run a graph: onnxruntime on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from sat2sound.export.precision.brain import as_float32, is_bfloat16
from sat2sound.export.precision.files import save
from sat2sound.export.references import Arrays

Run = Callable[[Arrays], dict[str, np.ndarray]]


def session(path: Path) -> onnxruntime.InferenceSession:
    """A session on the CPU; of bfloat16 graphs, one that rounds as they do (precision/brain.py)."""
    try:
        return _session(path)
    except NoKernel:
        model = onnx.load(str(path))
        if not is_bfloat16(model):
            raise
    with tempfile.TemporaryDirectory() as scratch:
        rounding = Path(scratch, "rounding.onnx")
        save(as_float32(model), rounding, like=path)
        return _session(rounding)


def _session(path: Path) -> onnxruntime.InferenceSession:
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
