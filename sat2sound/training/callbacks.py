"""What happens around the steps: checkpoints, validation, and what is said about data that could not be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from safetensors import SafetensorError

from sat2sound.checkpoints import save_safetensors
from sat2sound.training.errors import CheckpointNotWritten
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
        self.folder, self.every, self.validate_every = folder, every, validate_every
        self.description, self.say = description, say
        self.best = float("-inf")
        self._saved = self._validated = -1

    @property
    def state_key(self) -> str:
        """The name of the state in a checkpoint."""
        return "checkpoints"

    def state_dict(self) -> dict[str, Any]:
        """Kept in `last`."""
        return {"best": self.best, "description": self.description, "validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `state_dict`."""
        self.best, self._validated = float(state_dict["best"]), int(state_dict["validated"])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Between two steps, when all that belongs to the last one is done."""
        if trainer.global_step and trainer.global_step % self.every == 0 and ours(pl_module).between_steps:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validation, when it is due."""
        module = ours(pl_module)
        passes, rest = divmod(module.batch_index(), module.batches_per_pass)
        at_the_end = trainer.global_step >= module.optimisation.steps
        due = at_the_end or (rest == 0 and passes % self.validate_every == 0)
        if due and self._validated != trainer.global_step:
            self._validate(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The final state."""
        self._save(trainer)

    def _validate(self, trainer: Trainer, module: TrainingModule) -> None:
        self._validated = trainer.global_step
        if trainer.is_global_zero:
            figures = module.task.validate()
            for logger in trainer.loggers:
                logger.log_metrics({f"validation/{name}": value for name, value in figures.items()}, self._validated)
            shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
            self.say(f"step {self._validated}: {shown or 'no validation split'}")
            if not figures or figures[SCORE] > self.best:
                self.best = figures.get(SCORE, self.best)
                self._save_best(module)
        module.train()
        trainer.strategy.barrier("validation")

    def _save_best(self, module: TrainingModule) -> None:
        task, path = module.task, self.folder / BEST
        model = task.judged
        try:
            save_safetensors(path, model.config, model.state_dict(), half=task.stored_half, step=str(self._validated))
        except (OSError, SafetensorError) as error:
            raise CheckpointNotWritten(path, error) from error

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step != self._saved:
            trainer.save_checkpoint(self.folder / LAST)
            self._saved = trainer.global_step


class SkippedReport(Callback):
    """After every pass: fails if too much of the data cannot be used. At the end: what was skipped.

    Captions that are missing are no fault of a sample; that a whole dataset has none of a kind is said once.
    """

    def __init__(self, max_share: float, say: Say) -> None:
        self.max_share, self.say = max_share, say
        self._said: set[str] = set()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises DatasetError."""
        module = ours(pl_module)
        module.collect_skipped()
        module.skipped.check(self.max_share, option="max_skipped in the recipe")
        given = module.skipped.given
        for part in ("audio_caption", "image_caption"):
            if given["image"] and not given[part] and part not in self._said:
                self._said.add(part)
                self.say(
                    f"warning: no sample has an {part.replace('_', ' ')}: the terms of the loss with it are left out"
                )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Each file once, in how many passes it may ever have been met."""
        for line in ours(pl_module).skipped.without_repetitions().lines():
            self.say(line)


def ours(module: LightningModule) -> TrainingModule:
    """The module as what it is. Raises TypeError."""
    if not isinstance(module, TrainingModule):
        raise TypeError(f"these callbacks belong to a TrainingModule, not to a {type(module).__name__}")
    return module
