"""Gates: checks that a graph, a branch or a repository must pass, each reporting all that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sat2sound.contract import Dimensions, ModelContract
from sat2sound.export.gates.interface import check_interface
from sat2sound.export.gates.neighbours import check_neighbours
from sat2sound.export.gates.report import GateResult, problem_lines, require
from sat2sound.export.gates.retrieval import check_retrieval
from sat2sound.export.gates.runtime import runner
from sat2sound.export.gates.tolerances import PRECISIONS, Precision, tolerance
from sat2sound.export.gates.values import check_values
from sat2sound.export.references import Case

__all__ = [
    "GRAPH_GATES",
    "PRECISIONS",
    "GateResult",
    "Precision",
    "check_graph",
    "check_retrieval",
    "problem_lines",
    "require",
    "tolerance",
]

GRAPH_GATES = ("interface", "values", "neighbours")
"""What `check_graph` runs: the verdicts that stay with a graph when a later build takes it over."""


def check_graph(
    contract: ModelContract, dimensions: Dimensions, path: Path, precision: Precision, cases: Sequence[Case]
) -> list[GateResult]:
    """Interface, values and batch neighbours of one ONNX file, in that order; all run even if one fails."""
    interface = check_interface(contract, dimensions, path)
    try:
        run = runner(path, precision)
    except Exception as error:  # whatever onnxruntime raises: it is what this gate is to find
        problem = f"onnxruntime cannot load {path.name} ({type(error).__name__}: {error})"
        return [interface, GateResult("values", contract.name, problems=(problem,))]
    return [
        interface,
        check_values(contract.name, precision, run, cases),
        check_neighbours(contract.name, precision, run, cases),
    ]
