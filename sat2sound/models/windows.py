"""Windows of the hierarchical transformer: cutting a grid into them, shifting it, and the bias between positions.

Index and mask are constants, not parameters: they are made on the CPU even while a model is laid out on torch's meta
device to receive a checkpoint's tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor


def partition(grid: Tensor, window: int) -> Tensor:
    """[B, H, W, C] -> [B * windows, window * window, C], windows row by row."""
    _, height, width, channels = grid.shape
    split = grid.reshape(-1, height // window, window, width // window, window, channels)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, channels)


def merge(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of `partition`: [B * windows, window * window, C] -> [B, H, W, C]."""
    channels = windows.shape[-1]
    split = windows.reshape(-1, height // window, width // window, window, window, channels)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)


def relative_position_index(window: int) -> Tensor:
    """For each pair of positions in a window, the row of the bias table: int64 [window^2, window^2]."""
    steps = torch.arange(window, device="cpu")
    rows, columns = (axis.flatten() for axis in torch.meshgrid(steps, steps, indexing="ij"))
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right


def shifted_window_mask(grid: int, window: int, shift: int) -> Tensor:
    """Additive mask that keeps regions apart that only the cyclic shift made neighbours.

    Returns float32 [windows, window^2, window^2] with 0 (same region) or -100.
    """
    band = torch.zeros(grid, dtype=torch.int64, device="cpu")
    band[grid - window : grid - shift] = 1
    band[grid - shift :] = 2
    region = (band[:, None] * 3 + band[None, :]).reshape(1, grid, grid, 1)
    members = partition(region, window).squeeze(-1)
    apart = members[:, :, None] != members[:, None, :]
    return torch.where(apart, -100.0, 0.0)
