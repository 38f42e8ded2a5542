"""Gate: a graph computes what torch computed, for every batch size and every kind of input at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sat2sound.export.gates.differences import centred_cosine, item_cosines, relative_difference
from sat2sound.export.gates.report import GateResult
from sat2sound.export.gates.runtime import Run
from sat2sound.export.gates.tolerances import Precision, Tolerance, tolerance
from sat2sound.export.references import Case

_TIE = 1e-5


def check_values(graph: str, precision: Precision, run: Run, cases: Sequence[Case]) -> GateResult:
    """Run every case and compare with its reference outputs; measured is the largest relative difference."""
    limits = tolerance(graph, precision)
    problems: list[str] = [] if cases else ["there are no reference inputs for this graph"]
    worst = 0.0
    for case in cases:
        try:
            found = run(case.inputs)
        except Exception as error:  # whatever onnxruntime raises: it is what this gate is to find
            problems.append(f"{case.name} (batch {case.batch}): does not run ({type(error).__name__}: {error})")
            continue
        for name, expected in case.outputs.items():
            where = f"{name} of {case.name} (batch {case.batch})"
            if name not in found:
                problems.append(f"{where}: there is no such output")
                continue
            wrong, difference = _compare(where, found, name, expected, limits, case)
            worst = max(worst, difference)
            problems += wrong
    return GateResult("values", graph, worst, limits.value, tuple(problems))


def _compare(
    where: str, outputs: dict[str, np.ndarray], name: str, expected: np.ndarray, limits: Tolerance, case: Case
) -> tuple[list[str], float]:
    found = outputs[name]
    if found.shape != expected.shape or found.dtype != expected.dtype:
        wrong = f"{found.dtype}{list(found.shape)}, expected {expected.dtype}{list(expected.shape)}"
        return [f"{where}: is {wrong}"], 0.0
    if not np.issubdtype(expected.dtype, np.floating):
        return list(_exact(where, found, expected, case.outputs["ROW_SCORES"] if name == "ROWS" else None)), 0.0
    difference = relative_difference(found, expected)
    if not np.isfinite(difference):
        return [f"{where}: has values that are not finite where torch's are (or the other way)"], difference
    problems = []
    if difference > limits.value:
        problems.append(f"{where}: differs by {difference:.2e} of the largest value, allowed {limits.value:.0e}")
    cosines = item_cosines(found, expected)
    if cosines.min() < limits.cosine:
        problems.append(
            f"{where}: item {int(cosines.argmin())} has cosine {cosines.min():.6f}, expected {limits.cosine}"
        )
    centred = centred_cosine(found, expected)
    if centred is not None and centred < limits.centred:
        problems.append(f"{where}: cosine {centred:.6f} after subtracting the mean, expected {limits.centred}")
    return problems, difference


def _exact(where: str, found: np.ndarray, expected: np.ndarray, scores: np.ndarray | None) -> Iterator[str]:
    """Integers must be equal, but rows [B, k] that torch scores alike may change places. scores: float32 [B, k]."""
    if scores is None:
        differing = int((found != expected).sum())
    else:
        differing = sum(_misplaced(*item) for item in zip(found, expected, scores, strict=True))
    if differing:
        yield f"{where}: {differing} of {found.size} integers differ"


def _misplaced(found: np.ndarray, expected: np.ndarray, scores: np.ndarray) -> int:
    """Rows of one item, int64 [k], that are not in the group of equal scores where torch has them.

    The last group may hold rows that torch left out, since those may tie with it; the gallery gate holds every row
    against its score.
    """
    ends = [*(np.flatnonzero(np.abs(np.diff(scores)) > _TIE) + 1), len(expected)]
    wrong, start = 0, 0
    for end in ends:
        rows, known = set(found[start:end].tolist()), set(expected[start:end].tolist())
        if end == len(expected):
            known |= rows - set(expected.tolist())
        wrong += end - start - len(rows & known)
        start = end
    return wrong
