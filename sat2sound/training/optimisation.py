"""Which parameters an optimizer moves, how, and how the learning rate goes: what all recipes have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR, LRScheduler


@dataclass(frozen=True)
class Optimisation:
    """steps: optimizer steps of the whole training. accumulate: batches per step. gradient_norm: larger ones are cut.

    restart_steps: period of a cosine with warm restarts; or learning_rate_at: step -> learning rate.
    """

    steps: int
    learning_rate: float
    betas: tuple[float, float]
    weight_decay: float
    gradient_norm: float
    accumulate: int = 1
    restart_steps: int | None = None
    learning_rate_at: Callable[[int], float] | None = None

    def optimizer(self, module: nn.Module, not_decaying: set[int]) -> torch.optim.AdamW:
        """AdamW. not_decaying: ids of matrices without weight decay; norms, biases and scalars never have it."""
        parameters = [value for value in module.parameters() if value.requires_grad]
        decaying = [value for value in parameters if value.ndim > 1 and id(value) not in not_decaying]
        chosen = {id(value) for value in decaying}
        groups = [
            {"params": decaying, "weight_decay": self.weight_decay},
            {"params": [value for value in parameters if id(value) not in chosen], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas)

    def schedule(self, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """Moved on once per optimizer step."""
        if self.restart_steps is not None:
            return CosineAnnealingWarmRestarts(optimizer, T_0=self.restart_steps)
        rate = self.learning_rate_at
        return LambdaLR(optimizer, lambda step: rate(step) / self.learning_rate if rate else 1.0)
