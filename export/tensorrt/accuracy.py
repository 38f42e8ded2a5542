"""Gate: an engine computes what onnxruntime computes from the same graph, run side by side by polygraphy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sat2sound.export.gates import GateResult, Precision
from sat2sound.export.gates.runtime import session
from sat2sound.export.gates.values import check_values
from sat2sound.export.references import Case
from sat2sound.export.tensorrt.device import import_tensorrt

_GATE = "TensorRT values"


def check_engine(name: str, precision: Precision, graph: Path, engine: Path, cases: Sequence[Case]) -> GateResult:
    """Limits are those of the graph against torch (gates/tolerances.py). Raises TensorRTUnavailable."""
    import_tensorrt()
    from polygraphy.backend.common import BytesFromPath
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    return compare(
        name, precision, onnx_runner(graph, precision), TrtRunner(EngineFromBytes(BytesFromPath(str(engine)))), cases
    )


def onnx_runner(graph: Path, precision: Precision) -> Any:
    """polygraphy's runner for onnxruntime on the CPU, which has no kernels for some precisions (gates/runtime.py)."""
    from polygraphy.backend.onnxrt import OnnxrtRunner

    return OnnxrtRunner(lambda: session(graph, precision))


def compare(name: str, precision: Precision, trusted: Any, tried: Any, cases: Sequence[Case]) -> GateResult:
    """Run both runners on the cases' inputs; the first one's outputs are what the second one's must be.

    An engine that does not load or run is a problem, as a wrong number is.
    """
    from polygraphy.comparator import Comparator
    from polygraphy.exception import PolygraphyException
    from polygraphy.logger import G_LOGGER

    try:
        with G_LOGGER.verbosity(G_LOGGER.ERROR):
            results = Comparator.run([trusted, tried], data_loader=[dict(case.inputs) for case in cases])
    except PolygraphyException as error:
        return GateResult(_GATE, name, problems=(f"does not run ({type(error).__name__}: {error})",))
    expected, found = ([_outputs(iteration) for iteration in iterations] for _, iterations in results)
    answers = iter(found)
    references = [dataclasses.replace(case, outputs=outputs) for case, outputs in zip(cases, expected, strict=True)]
    values = check_values(name, precision, lambda _: next(answers), references)
    return dataclasses.replace(values, gate=_GATE)


def _outputs(iteration: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(array) for name, array in iteration.items()}
