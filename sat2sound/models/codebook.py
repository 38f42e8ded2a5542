"""The shared codebook: any modality's tokens become a sparse mix of the same learned soundscape concepts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sat2sound.models.sparsemax import sparsemax


class QueryMap(nn.Module):
    """Maps one modality's tokens to queries against the codebook: LayerNorm, Linear, GELU, LayerNorm, Linear."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, embedding),
            nn.GELU(),
            nn.LayerNorm(embedding),
            nn.Linear(embedding, embedding),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, T, width] -> float32 [B, T, embedding]."""
        out: Tensor = self.layers(tokens)
        return out


class Codebook(nn.Module):
    """Concepts [size, embedding] and the pooling of token logits over them (MODEL.md, shared codebook)."""

    def __init__(self, size: int, embedding: int, temperature: float) -> None:
        super().__init__()
        self.concepts = nn.Parameter(torch.randn(size, embedding))
        self.scale = 1.0 / (math.sqrt(embedding) * temperature)

    def token_logits(self, queries: Tensor) -> Tensor:
        """Undivided logits of every token and concept: float32 [B, T, embedding] -> float32 [B, T, size]."""
        return queries @ self.concepts.T

    def pooled_logits(
        self,
        queries: Tensor,
        mask: Tensor | None = None,
        concepts_per_chunk: int | None = None,
        *,
        floor: bool = True,
    ) -> Tensor:
        """Each concept's largest scaled logit over the tokens, in float32.

        queries: float [B, T, embedding]. mask: int or bool [B, T], 0 for padding. floor: each row of a mask is pooled
        as if it had at least one padded position, which counts with logit 0 (as in nearly every training batch); False:
        as if it had none. Either way the result does not depend on how long the batch neighbours are. Without a mask
        nothing is floored. concepts_per_chunk: bounds memory to B x T x that many logits (inference).
        Returns float32 [B, size].
        """
        if concepts_per_chunk is None:
            return self._pool(queries, self.concepts, mask, floor)
        chunks = torch.split(self.concepts, concepts_per_chunk)
        return torch.cat([self._pool(queries, chunk, mask, floor) for chunk in chunks], dim=-1)

    def _pool(self, queries: Tensor, concepts: Tensor, mask: Tensor | None, floor: bool) -> Tensor:
        logits = _in_float32(queries, concepts.T)
        if mask is None:
            return logits.amax(dim=1) * self.scale
        if floor:
            masked = logits * mask[..., None].to(torch.float32)
            return masked.amax(dim=1).clamp(min=0.0) * self.scale
        largest = logits.masked_fill(mask[..., None] == 0, -math.inf).amax(dim=1)
        return largest.nan_to_num(neginf=0.0) * self.scale  # a row of nothing but padding stays finite

    def weights(
        self,
        queries: Tensor,
        mask: Tensor | None = None,
        concepts_per_chunk: int | None = None,
        *,
        floor: bool = True,
    ) -> Tensor:
        """Sparse weights over the concepts, summing to 1: float32 [B, size]. Arguments as `pooled_logits`."""
        return sparsemax(self.pooled_logits(queries, mask, concepts_per_chunk, floor=floor))

    def mix(self, weights: Tensor) -> Tensor:
        """Weights float32 [B, size] -> raw embedding float32 [B, embedding], not of unit length."""
        return _in_float32(weights, self.concepts)

    def forward(
        self,
        queries: Tensor,
        mask: Tensor | None = None,
        concepts_per_chunk: int | None = None,
        *,
        floor: bool = True,
    ) -> Tensor:
        """Raw embedding float32 [B, embedding] of queries float32 [B, T, embedding]; arguments as `pooled_logits`."""
        return self.mix(self.weights(queries, mask, concepts_per_chunk, floor=floor))


def _in_float32(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product in float32 whatever the encoders use, also under autocast: rounding decides the support here."""
    left, right = left.to(torch.float32), right.to(torch.float32)
    if not torch.is_autocast_enabled(left.device.type):
        return left @ right
    with torch.autocast(left.device.type, enabled=False):
        return left @ right


def unit_length(embedding: Tensor) -> Tensor:
    """L2-normalise the last dimension, in float32; a zero vector stays zero."""
    return functional.normalize(embedding.to(torch.float32), dim=-1)
