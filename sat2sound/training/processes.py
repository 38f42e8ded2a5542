"""What the processes of one training tell each other."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

Told = TypeVar("Told")


def is_first_process() -> bool:
    """Whether this process speaks for all of a training."""
    return not getattr(rank_zero_only, "rank", 0)


def gather_rows(module: LightningModule, rows: Tensor) -> Tensor:
    """float [B, ...] of each process -> [processes x B, ...], in the order of their ranks, with gradients.

    Every process then computes the loss of the whole batch; the gradients that come back to a process's own rows are
    the sum over all processes, and the mean over processes that DDP takes of parameters makes up for it.
    """
    if module.trainer.world_size == 1:
        return rows
    gathered: Any = module.all_gather(rows, sync_grads=rows.requires_grad)
    whole: Tensor = gathered.flatten(0, 1)
    return whole


def gather_objects(trainer: Trainer, own: Told) -> list[Told]:
    """What each process has, in the order of their ranks. To be called by all of them."""
    if trainer.world_size == 1:
        return [own]
    everyone: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(everyone, own)
    return everyone
