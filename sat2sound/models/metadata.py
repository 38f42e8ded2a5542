"""Metadata fusion: what is known about a recording (where, when, by whom) joins the image tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sat2sound.configs import MetadataConfig
from sat2sound.contract import CONDITIONS
from sat2sound.preprocessing.metadata import CONDITION_RANGES

AUDIO_SOURCE_COUNT = 4
CAPTION_SOURCE_COUNT = 3
_COLUMN = {tensor.name: index for index, tensor in enumerate(CONDITIONS)}


def column(conditions: Tensor, name: str) -> Tensor:
    """One column of the conditions. conditions: float32 [B, 7] in contract.CONDITIONS order -> float32 [B]."""
    return conditions[:, _COLUMN[name]]


def usable_conditions(conditions: Tensor, native_gsd: float) -> Tensor:
    """What a graph makes of values that it cannot refuse: anything out of its range counts as missing.

    conditions: float32 [B, 7] in contract.CONDITIONS order. native_gsd: metres per pixel, for images without one.
    Returns the same shape, with NaN for missing, but never in GSD.
    """
    low, high = (
        torch.tensor(bounds, dtype=torch.float32, device=conditions.device)
        for bounds in zip(*(CONDITION_RANGES[tensor.name] for tensor in CONDITIONS), strict=True)
    )
    missing = [native_gsd if tensor.name == "GSD" else math.nan for tensor in CONDITIONS]
    inside = (conditions >= low) & (conditions <= high)  # False for NaN
    return torch.where(inside, conditions, torch.tensor(missing, dtype=torch.float32, device=conditions.device))


def encode_location(latitude: Tensor, longitude: Tensor) -> Tensor:
    """Degrees, float32 [B] each -> [sin, cos](pi lat / 90), [sin, cos](pi lon / 180), float32 [B, 4]."""
    north, east = latitude * (math.pi / 90.0), longitude * (math.pi / 180.0)
    return torch.stack([torch.sin(north), torch.cos(north), torch.sin(east), torch.cos(east)], dim=-1)


def encode_cycle(value: Tensor, period: float) -> Tensor:
    """float32 [B] -> [sin, cos](2 pi value / period), float32 [B, 2]."""
    angle = value * (2.0 * math.pi / period)
    return torch.stack([torch.sin(angle), torch.cos(angle)], dim=-1)


class _SourceToken(nn.Module):
    """A learned token per source id."""

    def __init__(self, count: int, embedding: int) -> None:
        super().__init__()
        self.source_embed = nn.Embedding(count, embedding)

    def forward(self, source: Tensor) -> Tensor:
        out: Tensor = self.source_embed(source.clamp(0, self.source_embed.num_embeddings - 1).to(torch.int64))
        return out


class _EncodingToken(nn.Module):
    """A token from a few sines and cosines."""

    def __init__(self, inputs: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, embedding)

    def forward(self, encoding: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(encoding)))
        return out


class MetadataTokens(nn.Module):
    """One token per metadata part that this model was trained on, and which of them are missing."""

    def __init__(self, config: MetadataConfig, embedding: int) -> None:
        super().__init__()
        self.parts = config.parts
        widths = {"location": 4, "month": 2, "time": 2}
        counts = {"audio_source": AUDIO_SOURCE_COUNT, "caption_source": CAPTION_SOURCE_COUNT}
        for part in config.parts:
            maker = (
                _SourceToken(counts[part], embedding)
                if part in counts
                else _EncodingToken(widths[part], config.hidden, embedding)
            )
            self.add_module(f"{part}_fc", maker)

    def forward(self, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """conditions: float32 [B, 7] in contract.CONDITIONS order, NaN = missing.

        Returns tokens float32 [B, parts, embedding] (missing ones zeroed) and missing bool [B, parts].
        """
        missing = torch.stack([self._missing(part, conditions) for part in self.parts], dim=1)
        known = torch.nan_to_num(conditions, nan=0.0)
        tokens = torch.stack([self._token(part, known) for part in self.parts], dim=1)
        return tokens.masked_fill(missing[..., None], 0.0), missing

    @staticmethod
    def _missing(part: str, conditions: Tensor) -> Tensor:
        if part == "location":
            return column(conditions, "LATITUDE").isnan() | column(conditions, "LONGITUDE").isnan()
        name = {"audio_source": "AUDIO_SOURCE", "caption_source": "CAPTION_SOURCE", "month": "MONTH", "time": "HOUR"}
        return column(conditions, name[part]).isnan()

    def _token(self, part: str, known: Tensor) -> Tensor:
        maker = self.get_submodule(f"{part}_fc")
        if part == "audio_source":
            encoded = column(known, "AUDIO_SOURCE")
        elif part == "caption_source":
            encoded = column(known, "CAPTION_SOURCE")
        elif part == "location":
            encoded = encode_location(column(known, "LATITUDE"), column(known, "LONGITUDE"))
        elif part == "month":
            encoded = encode_cycle(column(known, "MONTH"), 12.0)
        else:
            encoded = encode_cycle(column(known, "HOUR"), 23.0)  # 23, not 24: the weights were trained so
        token: Tensor = maker(encoded)
        return token


class FusionLayer(nn.Module):
    """Post-norm transformer layer with a key mask (the published fusion: eps 1e-5, GELU)."""

    def __init__(self, embedding: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(embedding, 3 * embedding)
        self.out_proj = nn.Linear(embedding, embedding)
        self.linear1 = nn.Linear(embedding, feedforward)
        self.linear2 = nn.Linear(feedforward, embedding)
        self.norm1 = nn.LayerNorm(embedding)
        self.norm2 = nn.LayerNorm(embedding)

    def forward(self, tokens: Tensor, key_bias: Tensor) -> Tensor:
        """tokens: float32 [B, T, embedding]; key_bias: float32 [B, 1, 1, T], 0 or -inf. Returns tokens' shape."""
        batch, count, width = tokens.shape
        split = self.in_proj(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=key_bias)
        tokens = self.norm1(tokens + self.out_proj(mixed.transpose(1, 2).reshape(batch, count, width)))
        out: Tensor = self.norm2(tokens + self.linear2(functional.gelu(self.linear1(tokens))))
        return out


class MetadataFusion(nn.Module):
    """Appends metadata tokens to the image tokens and lets them mix."""

    def __init__(self, config: MetadataConfig, embedding: int) -> None:
        super().__init__()
        self.meta_embed = MetadataTokens(config, embedding)
        self.layers = nn.ModuleList(
            FusionLayer(embedding, config.heads, config.feedforward) for _ in range(config.layers)
        )

    def forward(self, image_tokens: Tensor, conditions: Tensor) -> Tensor:
        """image_tokens: float32 [B, N, embedding]; conditions: float32 [B, 7], NaN = missing.

        Returns float32 [B, N + parts, embedding]; all of them go on to the codebook.
        """
        extra, missing = self.meta_embed(conditions)
        tokens = torch.cat([image_tokens, extra], dim=1)
        present = torch.zeros(image_tokens.shape[:2], dtype=torch.float32, device=image_tokens.device)
        absent = torch.zeros_like(missing, dtype=torch.float32).masked_fill(missing, float("-inf"))
        key_bias = torch.cat([present, absent], dim=1)[:, None, None, :]
        for layer in self.layers:
            tokens = layer(tokens, key_bias)
        return tokens
