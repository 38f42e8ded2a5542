"""A bar over all optimizer steps, on stderr: stdout is for what a command answers."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sat2sound.training.callbacks import ours


class StepBar(Callback):
    """Steps done and to come, pass, loss and time. console: default is stderr."""

    def __init__(self, console: Console | None = None) -> None:
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("pass {task.fields[passes]}  loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=console or Console(stderr=True))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin where the training stands."""
        if trainer.is_global_zero:
            self.progress.add_task("", total=trainer.max_steps, completed=trainer.global_step, passes=1, loss="-")
            self.progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on."""
        if trainer.is_global_zero:
            module, (task,) = ours(pl_module), self.progress.task_ids
            passes = 1 + (module.batch_index() - 1) // module.batches_per_pass
            self.progress.update(task, completed=trainer.global_step, passes=passes, loss=f"{module.last_loss:.4g}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the last state to be read."""
        self.progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self.progress.stop()
