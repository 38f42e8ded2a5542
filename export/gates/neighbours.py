"""Gate: what an item becomes does not depend on which other items share its batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sat2sound.export.gates.differences import relative_difference
from sat2sound.export.gates.report import GateResult
from sat2sound.export.gates.runtime import Run
from sat2sound.export.gates.tolerances import Precision, tolerance
from sat2sound.export.references import Case


def check_neighbours(graph: str, precision: Precision, run: Run, cases: Sequence[Case]) -> GateResult:
    """Run the items of the largest batch together and one by one; measured is the largest relative difference.

    One activation scale for a whole batch (onnxruntime's dynamic INT8) fails here, as does anything that pads or
    normalises over the batch.
    """
    allowed = tolerance(graph, precision).neighbours
    case = max(cases, key=lambda entry: entry.batch, default=None)
    if case is None or case.batch < 2:
        return GateResult("neighbours", graph, None, allowed, ("there is no batch of several items to try",))
    try:
        together = run(case.inputs)
        alone = [run({key: array[item : item + 1] for key, array in case.inputs.items()}) for item in range(case.batch)]
    except Exception as error:  # as in the value gate
        return GateResult("neighbours", graph, None, allowed, (f"does not run ({type(error).__name__}: {error})",))
    worst, problems = 0.0, []
    for name, joined in together.items():
        if not np.issubdtype(joined.dtype, np.floating):
            continue  # rows follow from the scores
        for item, outputs in enumerate(alone):
            if outputs[name].shape != joined[item : item + 1].shape:
                problems.append(f"{name}: item {item} of {case.name} has another shape alone than beside others")
                continue
            difference = relative_difference(outputs[name], joined[item : item + 1])
            worst = max(worst, difference)
            if difference > allowed:
                problems.append(
                    f"{name}: item {item} of {case.name} differs by {difference:.2e} beside others, "
                    f"allowed {allowed:.0e}"
                )
    return GateResult("neighbours", graph, worst, allowed, tuple(problems))
