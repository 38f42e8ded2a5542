"""Where a training stands, in Lightning's terms: its counters as they are between two batches."""

from __future__ import annotations

import copy
from typing import Any


def between_batches(loops: dict[str, Any], batches: int, per_pass: int, steps: int) -> dict[str, Any]:
    """The loop state of a checkpoint, as if it were written with `batches` of all batches done and none begun.

    A checkpoint may be written within a batch's hooks or at the end of a pass; Lightning then has counted what is only
    begun, and going on would repeat or leave out a batch. steps: optimizer steps done; per_pass: batches of one pass.
    """
    state = copy.deepcopy(loops)
    passes, within = divmod(batches, per_pass)
    fit = state["fit_loop"]
    _count(fit["epoch_progress"], total=passes, current=passes)
    _count(fit["epoch_loop.batch_progress"], total=batches, current=within)
    fit["epoch_loop.batch_progress"]["is_last_batch"] = False
    steps_within = within * steps // batches if batches else 0
    _count(fit["epoch_loop.scheduler_progress"], total=steps, current=steps_within)
    optimizer = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    for what in ("step", "zero_grad"):
        _count(optimizer[what], total=steps, current=steps_within)
    fit["epoch_loop.state_dict"]["_batches_that_stepped"] = steps
    return state


def _count(progress: dict[str, Any], *, total: int, current: int) -> None:
    for part, value in (("total", total), ("current", current)):
        progress[part] = dict.fromkeys(progress[part], value)
