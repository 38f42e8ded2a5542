"""Stochastic depth: while training, a block's change is left out for some samples, more often in deeper blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class StochasticDepth:
    """Hooks on residual blocks, so that the model itself stays as it is served."""

    def __init__(self, blocks: nn.ModuleList, largest: float) -> None:
        self.random = np.random.default_rng(0)
        for index, block in enumerate(blocks):
            block.register_forward_hook(self._hook(largest * (index + 1) / len(blocks)))

    def _hook(self, share: float) -> Any:
        def drop(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not block.training or share == 0.0:
                return output
            kept = (self.random.random(len(output)) >= share).astype(np.float32) / (1 - share)
            return inputs[0] + (output - inputs[0]) * torch.from_numpy(kept).to(output.device).view(-1, 1, 1)

        return drop
