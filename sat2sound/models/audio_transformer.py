"""HTS-AT with its locality-aware output: the audio encoder (MODEL.md, audio branch)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sat2sound.configs import AudioConfig
from sat2sound.contract import MEL_BINS, MEL_FRAMES
from sat2sound.models.vision_transformer import ConvolutionalStem, FeedForward, PatchStem
from sat2sound.models.windows import merge, partition, relative_position_index, shifted_window_mask


class WindowAttention(nn.Module):
    """Attention within windows, with a learned bias per relative position."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_position_index(window), persistent=False)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """tokens: float32 [B * windows, window^2, width]; mask: float32 [windows, window^2, window^2] or None."""
        batch, count, width = tokens.shape
        split = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]
        # Written out: the fused operation's memory layout does not survive export with a dynamic batch.
        scores = (query * (width // self.heads) ** -0.5) @ key.transpose(-2, -1) + bias
        if mask is not None:
            per_image = (-1, mask.shape[0], self.heads, count, count)
            scores = (scores.reshape(per_image) + mask[None, :, None]).reshape(scores.shape)
        mixed = scores.softmax(dim=-1) @ value
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return out

    def value_path(self, tokens: Tensor) -> Tensor:
        """What attention would return if every token attended to itself only: the projected values."""
        width = tokens.shape[-1]
        values = functional.linear(tokens, self.qkv.weight[2 * width :], self.qkv.bias[2 * width :])
        out: Tensor = self.proj(values)
        return out


class WindowBlock(nn.Module):
    """Pre-norm block over a square grid of tokens; shifted by half a window where `shift` is given."""

    def __init__(self, width: int, heads: int, grid: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.grid, self.window = grid, min(window, grid)
        # A grid of one window has nothing to shift.
        self.shift = window // 2 if shifted and grid > window else 0
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, self.window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, 4 * width)
        mask = shifted_window_mask(grid, self.window, self.shift) if self.shift else None
        self.register_buffer("attn_mask", mask, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, grid * grid, width] -> the same shape."""
        square = self.norm1(tokens).reshape(-1, self.grid, self.grid, tokens.shape[-1])
        if self.shift:
            square = torch.roll(square, (-self.shift, -self.shift), dims=(1, 2))
        mask = self.attn_mask if isinstance(self.attn_mask, Tensor) else None
        windows = self.attn(partition(square, self.window), mask)
        square = merge(windows, self.window, self.grid, self.grid)
        if self.shift:
            square = torch.roll(square, (self.shift, self.shift), dims=(1, 2))
        tokens = tokens + square.reshape(tokens.shape)
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out

    def value_path(self, tokens: Tensor) -> Tensor:
        """The locality-aware output of this block: attention replaced by the identity, and no feed-forward."""
        value = tokens + self.attn.value_path(self.norm1(tokens))
        out: Tensor = value + self.norm2(value)
        return out


class PatchMerging(nn.Module):
    """Joins 2x2 neighbours: half the grid, twice the width."""

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, grid^2, width] -> float32 [B, grid^2 / 4, 2 width]."""
        width, half = tokens.shape[-1], self.grid // 2
        split = tokens.reshape(-1, half, 2, half, 2, width)
        # Neighbours are joined column by column: (0,0), (1,0), (0,1), (1,1).
        joined = split.permute(0, 1, 3, 4, 2, 5).reshape(-1, half * half, 4 * width)
        out: Tensor = self.reduction(self.norm(joined))
        return out


class _Stage(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, grid: int, window: int, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            WindowBlock(width, heads, grid, window, shifted=index % 2 == 1) for index in range(depth)
        )
        self.downsample = None if last else PatchMerging(width, grid)

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return self.downsample(tokens) if self.downsample is not None else tokens

    def value_path(self, tokens: Tensor) -> Tensor:
        """The value path of the last block; only the blocks before it attend."""
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return cast(WindowBlock, self.blocks[-1]).value_path(tokens)


class _PatchEmbedding(PatchStem):
    """The published stem, normalised."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__(1, config.width, config.patch_size)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, picture: Tensor) -> Tensor:
        out: Tensor = self.norm(super().forward(picture))
        return out


class _ConvolutionalEmbedding(ConvolutionalStem):
    """The convolutional stem, normalised: it tells steady noises apart after far fewer recordings."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__(1, config.width, config.patch_size)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, picture: Tensor) -> Tensor:
        out: Tensor = self.norm(super().forward(picture))
        return out


def _stretching(length: int) -> Tensor:
    """Bicubic interpolation of MEL_FRAMES frames, corners aligned, as a matrix: float32 [length, MEL_FRAMES].

    A product where functional.interpolate would do: TensorRT's parser takes no cubic Resize, and onnxruntime on the CPU
    is ten times slower at it (8.4 against 0.8 ms for one recording).
    """
    frames = torch.eye(MEL_FRAMES, device="cpu")[None, None]  # also while a model is laid out on the meta device
    stretched = functional.interpolate(frames, (length, MEL_FRAMES), mode="bicubic", align_corners=True)
    return stretched[0, 0]


class AudioTransformer(nn.Module):
    """Log-mel spectrogram -> tokens in order of time."""

    stretch: Tensor

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        grid, width, last = config.image_size // config.patch_size, config.width, len(config.depths) - 1
        self.bn0 = nn.BatchNorm2d(MEL_BINS)
        self.patch_embed = (_PatchEmbedding if config.stem == "patch" else _ConvolutionalEmbedding)(config)
        self.layers = nn.ModuleList(
            _Stage(width * 2**index, depth, heads, grid // 2**index, config.window, index == last)
            for index, (depth, heads) in enumerate(zip(config.depths, config.heads, strict=True))
        )
        self.norm = nn.LayerNorm(config.output_width)
        self.register_buffer("stretch", _stretching(config.image_size**2 // MEL_BINS), persistent=False)

    def fold(self, log_mel: Tensor) -> Tensor:
        """Spectrogram -> square picture.

        log_mel: float32 [B, 1, 1001, 64], after batch norm -> float32 [B, 1, 256, 256]: the frames are stretched to
        1,024 by bicubic interpolation with aligned corners, then four time quarters are stacked along frequency.
        """
        size = self.config.image_size
        quarters = size // MEL_BINS
        split = (self.stretch @ log_mel).transpose(2, 3).reshape(-1, 1, MEL_BINS, quarters, size)
        return split.permute(0, 1, 3, 2, 4).reshape(-1, 1, size, size)

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel: float32 [B, 1, 1001, 64] in dB -> tokens float32 [B, 32, output_width]."""
        normalised = self.bn0(log_mel.transpose(1, 3)).transpose(1, 3)
        tokens: Tensor = self.patch_embed(self.fold(normalised))
        for stage in self.layers[:-1]:
            tokens = stage(tokens)
        last = cast(_Stage, self.layers[-1])
        return self._regroup(self.norm(last.value_path(tokens)))

    def _regroup(self, tokens: Tensor) -> Tensor:
        """Undo the stacking of quarters: [B, grid^2, C] -> [B, 4 * grid, C], frequency averaged away."""
        count, width = tokens.shape[1], tokens.shape[2]
        grid = int(count**0.5)
        quarters = self.config.image_size // MEL_BINS
        rows = grid // quarters
        split = tokens.reshape(-1, quarters, rows, grid, width)  # quarter, frequency, time within it
        return split.mean(dim=2).reshape(-1, quarters * grid, width)
