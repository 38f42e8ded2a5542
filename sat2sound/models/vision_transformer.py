"""The satellite image encoder: a vision transformer whose position embedding follows the ground sample distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sat2sound.configs import SatelliteConfig
from sat2sound.models.position import ground_position_embedding


class PatchStem(nn.Module):
    """Non-overlapping patches by one strided convolution, as published."""

    def __init__(self, channels: int, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch_size, stride=patch_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels: float32 [B, channels, H, W], normalised -> float32 [B, patches, width]."""
        patches: Tensor = self.proj(pixels)
        return patches.flatten(2).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, batch-normalised (folded into the convolutions by the runtime)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """features: float32 [B, width, H, W] -> the same shape."""
        out: Tensor = functional.gelu(features + self.layers(features))
        return out


class ConvolutionalStem(nn.Module):
    """Overlapping convolutions, each halving the resolution: learns from far fewer samples than a patch stem."""

    def __init__(self, channels: int, width: int, patch_size: int) -> None:
        super().__init__()
        halvings = patch_size.bit_length() - 1
        widths = [width // 2 ** (halvings - 1 - step) for step in range(halvings)]
        layers: list[nn.Module] = []
        for step, (before, after) in enumerate(zip([channels, *widths], widths, strict=False)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.GELU()]
            if step > 0:  # at half the resolution a block would cost as much as at all others together
                layers.append(ResidualBlock(after))
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, width, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels: float32 [B, channels, H, W], normalised -> float32 [B, patches, width]."""
        patches: Tensor = self.layers(pixels)
        return patches.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention with a joint query-key-value projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, tokens, width] -> the same shape."""
        batch, count, width = tokens.shape
        split = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return out


class FeedForward(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [..., width] -> the same shape."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = FeedForward(width, 4 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, tokens, width] -> the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class VisionTransformer(nn.Module):
    """ViT without class token or final norm (MODEL.md, satellite branch)."""

    def __init__(self, config: SatelliteConfig) -> None:
        super().__init__()
        self.config = config
        stem = PatchStem if config.stem == "patch" else ConvolutionalStem
        self.patch_embed = stem(3, config.width, config.patch_size)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))

    def forward(self, pixels: Tensor, ground_sample_distance: Tensor) -> Tensor:
        """Patch tokens of a square image.

        pixels: float32 [B, 3, S, S], normalised, S a multiple of the patch size (the trained size is
        config.image_size; smaller ones serve training). ground_sample_distance: float32 [B], metres per pixel.
        Returns float32 [B, (S / patch_size)^2, width].
        """
        grid = pixels.shape[-1] // self.config.patch_size
        tokens: Tensor = self.patch_embed(pixels)
        tokens = tokens + ground_position_embedding(ground_sample_distance, grid, self.config.width)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class Projector(nn.Module):
    """Linear, GELU, Linear from the encoder's width to the embedding's."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, embedding)
        self.linear2 = nn.Linear(embedding, embedding)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [..., width] -> float32 [..., embedding]."""
        out: Tensor = self.linear2(functional.gelu(self.linear1(tokens)))
        return out


def normalise_pixels(pixels: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W], (value / 255 - mean) / deviation: the graph's first step."""
    scaled = pixels.to(torch.float32) / 255.0
    centre = torch.tensor(mean, dtype=torch.float32, device=pixels.device)
    spread = torch.tensor(deviation, dtype=torch.float32, device=pixels.device)
    return ((scaled - centre) / spread).permute(0, 3, 1, 2)
