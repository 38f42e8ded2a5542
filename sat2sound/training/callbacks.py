"""What happens around the steps: checkpoints, validation, the check that a batch fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sat2sound.checkpoints import save_safetensors
from sat2sound.errors import Sat2SoundError
from sat2sound.training.checkpoint_io import CheckpointNotWritten
from sat2sound.training.lightning_module import TrainingModule
from sat2sound.training.task import SCORE

LAST, BEST = "last.safetensors", "best.safetensors"
Say = Callable[[str], None]


class Checkpoints(Callback):
    """Keeps `last` (to go on from) and `best` (a model to use) in a folder, and validates.

    every: optimizer steps between two `last`. validate_every: passes between two validations; one is at the end, too.
    description: what both must agree on when a training goes on.
    """

    def __init__(self, folder: Path, every: int, validate_every: int, description: str, say: Say) -> None:
        self.folder, self.every, self.validate_every, self.description, self.say = (
            folder, every, validate_every, description, say,
        )  # fmt: skip
        self.best = float("-inf")
        self._saved = self._validated = -1

    def state_dict(self) -> dict[str, Any]:
        """Kept in `last`."""
        return {"best": self.best, "description": self.description, "validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `state_dict`."""
        self.best, self._validated = float(state_dict["best"]), int(state_dict["validated"])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Here, and not at the end of a batch: Lightning's counters then agree with what has been done."""
        step = trainer.global_step
        if step and step % self.every == 0 and step != self._saved and _at_step(pl_module):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validation, and what was skipped in this pass."""
        module = _ours(pl_module)
        passes, rest = divmod(module.batch_index(), module.batches_per_pass)
        at_the_end = trainer.global_step >= module.optimisation.steps
        due = at_the_end or (rest == 0 and passes % self.validate_every == 0)
        if due and self._validated != trainer.global_step:
            self._validate(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The final state."""
        self._save(trainer)

    def _validate(self, trainer: Trainer, module: TrainingModule) -> None:
        figures = module.task.validate() if trainer.is_global_zero else {}
        self._validated = trainer.global_step
        module.train()
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.log_metrics({f"validation/{name}": value for name, value in figures.items()}, trainer.global_step)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self.say(f"step {trainer.global_step}: {shown or 'no validation split'}")
        if not figures or figures[SCORE] > self.best:
            self.best = figures.get(SCORE, self.best)
            self._save_best(trainer, module)

    def _save_best(self, trainer: Trainer, module: TrainingModule) -> None:
        model, path = module.task.judged, self.folder / BEST
        try:
            save_safetensors(path, model.config, model.state_dict(), half=True, step=str(trainer.global_step))
        except OSError as error:
            raise CheckpointNotWritten(path, error) from error

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step != self._saved:
            self._saved = trainer.global_step
            trainer.save_checkpoint(self.folder / LAST)


def _at_step(module: LightningModule) -> bool:
    """Whether no gradients are half accumulated."""
    ours = _ours(module)
    return ours.batch_index() % ours.optimisation.accumulate == 0


def _ours(module: LightningModule) -> TrainingModule:
    if not isinstance(module, TrainingModule):
        raise TypeError(f"these callbacks belong to a TrainingModule, not to a {type(module).__name__}")
    return module


class DoesNotFit(Sat2SoundError):
    """A batch of the recipe's size does not fit into memory."""


class FitCheck(Callback):
    """Before the first step: one batch of the real size, forward and backward, beside room for the optimizer.

    Better now than after hours, in the first batch with the longest captions. Nothing of it stays.
    """

    def __init__(self, say: Say) -> None:
        self.say = say

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises DoesNotFit saying what to change."""
        module = _ours(pl_module)
        index = module.batch_index()
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        try:
            room = [torch.empty_like(value) for value in module.parameters() for _ in range(2)]
            batch = module.task.batch(index, trainer.global_rank, trainer.world_size).to(module.device)
            with trainer.precision_plugin.forward_context():
                loss = module.task.losses(batch, index, module._gather)["total"]
            loss.backward()  # type: ignore[no-untyped-call]
            del room, loss
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _about_memory(error):
                raise
            raise DoesNotFit(
                f"a batch does not fit into the memory of {module.device} ({str(error).splitlines()[0][:160]}); to fix "
                "it, lower `batch` and raise `accumulate`, choose a 16-bit --precision, or use more devices"
            ) from None
        finally:
            module.zero_grad(set_to_none=True)
            with torch.no_grad():
                for name, value in module.named_buffers():
                    value.copy_(buffers[name])
        if module.device.type == "cuda":
            peak, whole = (
                torch.cuda.max_memory_allocated(),
                torch.cuda.get_device_properties(module.device).total_memory,
            )
            self.say(f"a batch fits: {peak / 2**30:.1f} of {whole / 2**30:.1f} GiB")
            torch.cuda.empty_cache()
        else:
            self.say("a batch fits")


def _about_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
