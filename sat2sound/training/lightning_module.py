"""A task as Lightning trains it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from sat2sound.data.skipped import Skipped, SkippedParts
from sat2sound.training.batch_loader import batch_loader
from sat2sound.training.errors import LossNotFinite
from sat2sound.training.loop_position import between_batches
from sat2sound.training.optimisation import Optimisation
from sat2sound.training.processes import gather_objects, gather_rows
from sat2sound.training.task import Task


class TrainingModule(LightningModule):
    """task: what is learned. optimisation: how. seed: of torch's own random numbers, set anew for every batch.

    workers: processes that make batches. skipped: what could not be used so far, of all processes.
    """

    def __init__(self, task: Task, optimisation: Optimisation, seed: int, workers: int = 0) -> None:
        super().__init__()
        self.module = task.module  # registered here, so that it is moved, wrapped and saved
        self.task, self.optimisation, self.seed, self.workers = task, optimisation, seed, workers
        self.skipped, self._skipped_in_pass = SkippedParts(), SkippedParts()
        self._index, self.last_loss = 0, math.nan

    def batch_index(self) -> int:
        """The batch that comes next, counted from 0 over the whole training."""
        return self._index

    @property
    def between_steps(self) -> bool:
        """Whether no gradients are half accumulated."""
        return self._index % self.optimisation.accumulate == 0

    @property
    def batches_per_pass(self) -> int:
        """As many as fill whole optimizer steps."""
        return self.task.steps_per_epoch // self.optimisation.accumulate * self.optimisation.accumulate

    def train_dataloader(self) -> DataLoader[Any]:
        """The rest of a pass, at a time."""
        return batch_loader(
            self.task,
            self.batches_per_pass,
            self.batch_index,
            rank=self.trainer.global_rank,
            processes=self.trainer.world_size,
            workers=self.workers,
        )

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate moves once per optimizer step."""
        optimizer = self.optimisation.optimizer(self.module, {id(self.task.model.codebook.concepts)})
        schedule = {"scheduler": self.optimisation.schedule(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """How many batches there were, and what of them could not be used."""
        checkpoint["batches"] = self._index
        so_far = SkippedParts()
        so_far.merge(self.skipped)
        so_far.merge(self._skipped_in_pass)
        checkpoint["given"] = dict(so_far.given)
        checkpoint["skipped"] = [[entry.id, entry.part, entry.reason] for entry in so_far.entries]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `on_save_checkpoint`; Lightning restores its loops after this."""
        self._index = int(checkpoint["batches"])
        self.skipped = SkippedParts()
        self.skipped.given.update(checkpoint["given"])
        self.skipped.entries = [Skipped(*entry) for entry in checkpoint["skipped"]]
        checkpoint["loops"] = between_batches(
            checkpoint["loops"], self._index, self.batches_per_pass, int(checkpoint["global_step"])
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches move themselves."""
        return batch.to(device)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of one batch. Raises LossNotFinite naming step and samples."""
        torch.manual_seed(int(np.random.default_rng([self.seed, 5, self._index, self.global_rank]).integers(2**62)))
        losses = self.task.losses(batch, self._index, self.gather)
        self._index += 1
        names, values = list(losses), torch.stack([value.detach().float() for value in losses.values()]).tolist()
        if not all(map(math.isfinite, values)):
            # All processes computed the same loss, so all of them come here.
            samples = [str(name) for part in gather_objects(self.trainer, list(batch.names)) for name in part]
            raise LossNotFinite(self.global_step, dict(zip(names, values, strict=True)), samples)
        self._skipped_in_pass.merge(batch.skipped)
        logged = {f"train/{name}": value for name, value in zip(names, values, strict=True)}
        self.log_dict(logged, batch_size=len(batch.names))
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=1)
        self.last_loss = logged["train/total"]
        return losses["total"]

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After an optimizer step, the task's own work."""
        if self.between_steps:
            self.task.after_step(self.global_step - 1)

    def collect_skipped(self) -> None:
        """Bring together what all processes skipped in this pass."""
        for part in gather_objects(self.trainer, self._skipped_in_pass):
            self.skipped.merge(part)
        self._skipped_in_pass = SkippedParts()

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all processes, in the order of their ranks; gradients go back to where the rows came from."""
        return gather_rows(self, rows)
