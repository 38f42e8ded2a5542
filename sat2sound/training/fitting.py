"""Run a task with Lightning: devices, precision, logs, checkpoints, and going on where an earlier run stopped."""

from __future__ import annotations

import json
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from sat2sound.data.skipped import MAX_SKIPPED_SHARE
from sat2sound.errors import ConfigurationError
from sat2sound.training.callbacks import BEST, LAST, Checkpoints, SkippedReport
from sat2sound.training.checkpoint_io import SafetensorsCheckpointIO
from sat2sound.training.end_on_request import EndOnRequest
from sat2sound.training.errors import Terminated
from sat2sound.training.fit_check import FitCheck
from sat2sound.training.lightning_module import TrainingModule
from sat2sound.training.optimisation import Optimisation
from sat2sound.training.progress_bar import StepBar
from sat2sound.training.task import Task

METRICS, TENSORBOARD = "metrics", "tensorboard"
_SHOWN, _ABSENT = 5, "absent"


@dataclass(frozen=True)
class Machine:
    """Where a training runs. accelerator, devices, nodes, precision: Lightning's own names. workers: processes that
    make batches, per device. threads: 0 leaves the number to torch."""

    accelerator: str = "auto"
    devices: str = "1"
    nodes: int = 1
    precision: str = "32-true"
    workers: int = 0
    threads: int = 0


def processes_of(machine: Machine) -> int:
    """How many processes train together, one per device. Raises ConfigurationError for a number that is none."""
    if machine.devices == "auto":
        return machine.nodes * max(1, torch.cuda.device_count())
    if not machine.devices.isdigit() or machine.devices == "0":
        raise ConfigurationError(f"--devices is {machine.devices!r}, expected a number of 1 or more, or auto")
    return machine.nodes * int(machine.devices)


@dataclass(frozen=True)
class Run:
    """out: folder. description: JSON of what must not change when a training goes on. resume: go on with an earlier
    training in the folder, if there is one. save_every: optimizer steps between two checkpoints to go on from.
    validate_every: passes. stop_at: an earlier step to end at; the schedule is that of the whole training."""

    out: Path
    description: str = ""
    seed: int = 0
    resume: bool = False
    save_every: int = 500
    validate_every: int = 1
    max_skipped: float = MAX_SKIPPED_SHARE
    stop_at: int | None = None
    bar: bool = True


@dataclass(frozen=True)
class Outcome:
    """steps: optimizer steps done; batches: of all processes together. score: of the best weights, None if nothing was
    validated. last, best: files, None if not written."""

    steps: int
    batches: int
    score: float | None
    last: Path
    best: Path | None


def fit(
    task: Task, optimisation: Optimisation, run: Run, machine: Machine, say: Callable[[str], None] = print
) -> Outcome:
    """Train to the end, or go on where an earlier run in the same folder stopped.

    Leaves LAST and BEST and the logs in the folder. Raises ConfigurationError if the folder holds a training and that
    is not to go on, or is of another description; TrainingError; DatasetError if too much of the data cannot be used.
    """
    earlier = check_folder(run)
    run.out.mkdir(parents=True, exist_ok=True)
    module = TrainingModule(task, optimisation, run.seed, machine.workers)
    checkpoints = Checkpoints(run.out, run.save_every, run.validate_every, run.description, say)
    ending = EndOnRequest()
    callbacks: list[Callback] = [SkippedReport(run.max_skipped, say), checkpoints, FitCheck(say), ending]
    with _settings(machine):
        trainer = _trainer(task, optimisation, run, machine, callbacks, fresh=earlier is None)
        if earlier is None:
            task.before(say)
        elif trainer.is_global_zero:
            say(f"going on from {earlier}")
        _run(trainer, module, earlier)
    if ending.asked:
        raise Terminated(trainer.global_step)
    best = run.out / BEST
    return Outcome(
        trainer.global_step,
        module.batch_index(),
        checkpoints.best if math.isfinite(checkpoints.best) else None,
        run.out / LAST,
        best if best.exists() else None,
    )


def _run(trainer: Trainer, module: TrainingModule, earlier: Path | None) -> None:
    try:
        trainer.fit(module, ckpt_path=earlier)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None


def check_folder(run: Run) -> Path | None:
    """The checkpoint to go on from, None if there is none. Raises ConfigurationError, CheckpointError."""
    refuse_taken(run)
    path = run.out / LAST
    if not path.exists():
        return None
    state = SafetensorsCheckpointIO().load_checkpoint(path)["callbacks"]["checkpoints"]
    if state["description"] != run.description:
        raise ConfigurationError(
            f"{path} is of another training: {changed(state['description'], run.description)}; give another --out, or "
            "delete it to start again"
        )
    return path


def changed(earlier: str, now: str) -> str:
    """What differs between two descriptions, for a person: the first few settings with both values."""
    try:
        before, after = _flat(json.loads(earlier)), _flat(json.loads(now))
    except ValueError:
        return "it was begun with other settings"
    names = [name for name in {**before, **after} if before.get(name, _ABSENT) != after.get(name, _ABSENT)]
    told = [f"{name} was {before.get(name, _ABSENT)}, is {after.get(name, _ABSENT)}" for name in names]
    return "; ".join(told[:_SHOWN]) + (f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else "")


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    if not isinstance(value, dict):
        return {place: value}
    return {name: each for key, of in value.items() for name, each in _flat(of, f"{place}.{key}".strip(".")).items()}


def refuse_taken(run: Run) -> None:
    """Raise ConfigurationError if the folder holds a training that is not to go on."""
    if (run.out / LAST).exists() and not run.resume:
        raise ConfigurationError(f"{run.out} holds a training; go on with --resume, or give another --out")


@contextmanager
def _settings(machine: Machine) -> Iterator[None]:
    """What is set for the whole process while a training runs."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    if machine.threads:
        torch.set_num_threads(machine.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # On loaders without workers and the like: advice, and the choice is the caller's.
            warnings.simplefilter("ignore", PossibleUserWarning)
            for own in (".*LeafSpec.*", ".*all_gather is deprecated.*"):  # Lightning's own use of torch
                warnings.filterwarnings("ignore", own)
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)


def _trainer(
    task: Task, optimisation: Optimisation, run: Run, machine: Machine, callbacks: Sequence[Callback], *, fresh: bool
) -> Trainer:
    several = processes_of(machine) > 1
    part = "start" if fresh else "continued"
    loggers: list[Logger] = [
        CSVLogger(str(run.out), name=METRICS, version=_free(run.out / METRICS, part), flush_logs_every_n_steps=1),
        TensorBoardLogger(str(run.out), name=TENSORBOARD, version=_free(run.out / TENSORBOARD, part)),
    ]
    strategy: Any = DDPStrategy(find_unused_parameters=task.unused_parameters) if several else "auto"
    return Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices if machine.devices == "auto" else int(machine.devices),
        num_nodes=machine.nodes,
        strategy=strategy,
        precision=machine.precision,  # type: ignore[arg-type]  # Lightning checks it
        max_steps=optimisation.steps if run.stop_at is None else min(run.stop_at, optimisation.steps),
        max_epochs=-1,
        accumulate_grad_batches=optimisation.accumulate,
        gradient_clip_val=optimisation.gradient_norm,
        callbacks=[*callbacks, *([StepBar()] if run.bar else [])],
        logger=loggers,
        plugins=[SafetensorsCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        sync_batchnorm=several and torch.cuda.is_available(),
        log_every_n_steps=1 if optimisation.steps < 1000 else 10,
        num_sanity_val_steps=0,
    )


def _free(folder: Path, part: str) -> str:
    """A version name that is not taken: Lightning empties one that is."""
    number = sum(1 for _ in folder.glob("*")) if folder.is_dir() else 0
    return f"{number:03d}-{part}"
