"""Position embedding that knows the ground: computed from each image's ground sample distance, never learned."""

from __future__ import annotations

import torch
from torch import Tensor


def ground_position_embedding(ground_sample_distance: Tensor, grid: int, width: int) -> Tensor:
    """2-D sine/cosine embedding whose grid coordinates are multiplied by metres per pixel.

    ground_sample_distance: float32 [B], metres per pixel. grid: patches per side. width: channels, a multiple of 4.
    Returns float32 [B, grid * grid, width], patches row by row. The first half of the channels encodes the column, the
    second half the row; each half is [sin, cos] over frequencies 10000^(-k / (width / 4)). Source: MODEL.md, satellite
    branch (the published model's scale-aware position embedding).
    """
    quarter = width // 4
    index = torch.arange(quarter, dtype=torch.float64, device=ground_sample_distance.device)
    frequencies = torch.pow(10000.0, -index / quarter).to(torch.float32)
    coordinates = torch.arange(grid, dtype=torch.float32, device=ground_sample_distance.device)
    angles = ground_sample_distance[:, None, None] * coordinates[None, :, None] * frequencies
    axis = torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)  # [B, grid, width / 2]
    shape = (-1, grid, grid, width // 2)
    columns = axis[:, None, :, :].expand(shape)
    rows = axis[:, :, None, :].expand(shape)
    return torch.cat([columns, rows], dim=-1).reshape(-1, grid * grid, width)
