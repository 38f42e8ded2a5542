"""A task as Lightning trains it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sat2sound.data.skipped import SkippedParts
from sat2sound.errors import Sat2SoundError
from sat2sound.training.optimisation import Optimisation
from sat2sound.training.task import Task


class LossNotFinite(Sat2SoundError):
    """The loss became NaN or infinite; training stops before the weights are harmed."""


class TrainingModule(LightningModule):
    """task: what is learned. optimisation: how. seed: of torch's own random numbers, set anew for every batch."""

    def __init__(self, task: Task, optimisation: Optimisation, seed: int) -> None:
        super().__init__()
        self.module = task.module  # registered here, so that it is moved, wrapped and saved
        self.task, self.optimisation, self.seed = task, optimisation, seed
        self.skipped = SkippedParts()

    def batch_index(self) -> int:
        """The batch that comes next, counted from 0 over the whole training."""
        return self._index

    _index = 0

    @property
    def batches_per_pass(self) -> int:
        """As many as fill whole optimizer steps."""
        return self.task.steps_per_epoch // self.optimisation.accumulate * self.optimisation.accumulate

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate moves once per optimizer step."""
        optimizer = self.optimisation.optimizer(self.module, {id(self.task.model.codebook.concepts)})
        schedule = {"scheduler": self.optimisation.schedule(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """How many batches there were: an epoch may be cut anywhere."""
        checkpoint["batches"] = self._index

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `on_save_checkpoint`."""
        self._index = int(checkpoint["batches"])

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches move themselves."""
        return batch.to(device)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of one batch. Raises LossNotFinite naming step and samples."""
        torch.manual_seed(int(np.random.default_rng([self.seed, 5, self._index, self.global_rank]).integers(2**62)))
        losses = self.task.losses(batch, self._index, self._gather)
        self._index += 1
        values = {name: float(value.detach()) for name, value in losses.items()}
        if not all(map(math.isfinite, values.values())):
            shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise LossNotFinite(
                f"the loss is not finite at step {self.global_step}: {shown}; samples of the batch: "
                f"{', '.join(map(str, batch.names))}; to fix it, look at these samples, or lower the learning rate; "
                "the last checkpoint is from before"
            )
        self.skipped.merge(batch.skipped)
        self.log_dict({f"train/{name}": value for name, value in values.items()}, batch_size=len(batch.names))
        self.log("loss", values["total"], prog_bar=True, logger=False, batch_size=len(batch.names))
        return losses["total"]

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After an optimizer step, the task's own work."""
        if self._index % self.optimisation.accumulate == 0:
            self.task.after_step(self.global_step - 1)

    def _gather(self, rows: Tensor) -> Tensor:
        """Rows of all processes, in the order of their ranks; gradients go back to where the rows came from."""
        if self.trainer.world_size == 1:
            return rows
        gathered: Any = self.all_gather(rows, sync_grads=rows.requires_grad)
        whole: Tensor = gathered.flatten(0, 1)
        return whole
