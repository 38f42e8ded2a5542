"""Mixing of two images of a batch: blended (mixup) or one pasted into the other (cutmix); targets mix alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixing:
    """partner: int64 [B], row that is mixed in; share: of the row itself, 0..1; box: (top, left, side) or None."""

    partner: Tensor
    share: float
    box: tuple[int, int, int] | None

    def apply(self, images: Tensor) -> Tensor:
        """images: float32 [B, C, S, S] -> the same shape, mixed."""
        if self.box is None:
            return self.share * images + (1 - self.share) * images[self.partner]
        top, left, side = self.box
        mixed = images.clone()
        mixed[:, :, top : top + side, left : left + side] = images[self.partner][
            :, :, top : top + side, left : left + side
        ]
        return mixed

    def targets(self, targets: Tensor) -> Tensor:
        """Target rows float32 [B, n] -> the same shape, mixed."""
        return self.share * targets + (1 - self.share) * targets[self.partner]


def draw_mixing(images: Tensor, random: np.random.Generator) -> Mixing:
    """A mixing for a batch float32 [B, C, S, S]: one share for all rows, its partner a permutation."""
    share = float(random.beta(0.4, 0.4))
    partner = torch.from_numpy(random.permutation(len(images)))
    if random.random() < 0.5:
        return Mixing(partner, share, None)
    size = images.shape[-1]
    side = int(size * np.sqrt(1 - share))
    top, left = (int(value) for value in random.integers(0, size - side + 1, 2))
    return Mixing(partner, 1 - side * side / size**2, (top, left, side))
