"""How gates run a graph: onnxruntime on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from sat2sound.export.gates.tolerances import Precision
from sat2sound.export.precision.brain import as_float32
from sat2sound.export.precision.files import save
from sat2sound.export.precision.tensor_float import rounded_products
from sat2sound.export.references import Arrays

Run = Callable[[Arrays], dict[str, np.ndarray]]

# Kernels that the CPU lacks: a graph in these precisions is run as a float32 one that rounds where a GPU would.
_STAND_INS: Mapping[Precision, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "tf32": rounded_products,
    "bfloat16": as_float32,
}


def session(path: Path, precision: Precision = "float32") -> onnxruntime.InferenceSession:
    """A session on the CPU that computes what the graph does in this precision. Raises onnxruntime's errors."""
    if precision not in _STAND_INS:
        return _session(path)
    with tempfile.TemporaryDirectory() as scratch:
        rounding = Path(scratch, "rounding.onnx")
        save(_STAND_INS[precision](onnx.load(str(path))), rounding, like=path)
        return _session(rounding)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def runner(path: Path, precision: Precision = "float32") -> Run:
    """The graph as a function from inputs to outputs by name. Raises onnxruntime's errors if it does not load."""
    opened = session(path, precision)
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
