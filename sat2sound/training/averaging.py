"""Moving average of weights: what is evaluated and shipped, because it is steadier than the last step."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Averaged = TypeVar("Averaged", bound=nn.Module)


class MovingAverage(Generic[Averaged]):
    """Exponential moving average of a module's parameters and buffers; short at first, so that it forgets the start."""

    def __init__(self, module: Averaged, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(module).eval(), decay
        self.module.requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards `module` after optimizer step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, current in zip(self.module.state_dict().values(), module.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)
