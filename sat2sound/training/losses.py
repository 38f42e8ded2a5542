"""The published training loss (MODEL.md, training): contrastive, with pseudo-positives, over five pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

PSEUDO_POSITIVE_WEIGHT = 0.1


def contrastive_loss(
    first: Tensor,
    second: Tensor,
    logit_scale: Tensor,
    positives: Tensor | None = None,
    pseudo_positive_weight: float = PSEUDO_POSITIVE_WEIGHT,
) -> Tensor:
    """Symmetric InfoNCE plus 0.1 x the same with pseudo-positives. Returns a float32 scalar.

    first, second: float32 [B, D], row i of both belongs together; brought to unit length here. logit_scale: scalar, the
    cosines are multiplied by its exponential. positives: float32 [B, B] target weights whose rows sum to 1, for data in
    which several items fit each other; default: only the diagonal, as published. pseudo_positive_weight: 0 where the
    positives are known and need no guessing.
    """
    logits = functional.normalize(first, dim=-1) @ functional.normalize(second, dim=-1).T * logit_scale.exp()
    targets = torch.eye(len(logits), dtype=logits.dtype, device=logits.device) if positives is None else positives
    plain = _symmetric(logits, targets, _rows_to_one(targets.T) if positives is not None else targets)
    if pseudo_positive_weight == 0.0:
        return plain
    with torch.no_grad():
        # Whatever scores at least as high as the true pair is taken for another true pair.
        pseudo = (logits >= logits.diagonal()[:, None]).to(logits.dtype)
    return plain + pseudo_positive_weight * _symmetric(logits, pseudo, pseudo.T)


def _symmetric(logits: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """Mean cross-entropy of rows and of columns; targets are used as they are, not renormalised."""
    rows = -(forward * logits.log_softmax(dim=1)).sum(1).mean()
    columns = -(backward * logits.T.log_softmax(dim=1)).sum(1).mean()
    return (rows + columns) / 2


def _rows_to_one(targets: Tensor) -> Tensor:
    return targets / targets.sum(1, keepdim=True).clamp(min=1e-12)


@dataclass(frozen=True)
class LossTerms:
    """The five terms and what is minimised, each a float32 scalar."""

    satellite_audio: Tensor
    satellite_audio_caption: Tensor
    audio_audio_caption: Tensor
    satellite_audio_with_caption: Tensor
    satellite_image_caption: Tensor

    @property
    def total(self) -> Tensor:
        """Mean of the three pairwise terms, plus the joint term, plus the image-caption term."""
        pairs = (self.satellite_audio + self.satellite_audio_caption + self.audio_audio_caption) / 3
        return pairs + self.satellite_audio_with_caption + self.satellite_image_caption

    def values(self) -> list[float]:
        """The five terms and the total, in the order of the published log."""
        terms = (
            self.satellite_audio,
            self.satellite_audio_caption,
            self.audio_audio_caption,
            self.satellite_audio_with_caption,
            self.satellite_image_caption,
            self.total,
        )
        return [float(term) for term in terms]


def sat2sound_loss(
    satellite: Tensor,
    audio: Tensor,
    audio_caption: Tensor,
    image_caption: Tensor,
    logit_scales: Mapping[str, Tensor],
    positives: Tensor | None = None,
    pseudo_positive_weight: float = PSEUDO_POSITIVE_WEIGHT,
) -> LossTerms:
    """All terms for a batch of raw embeddings, float32 [B, D] each.

    logit_scales: ia (satellite-audio), it (satellite-audio caption), at (audio-audio caption), i_at (satellite with the
    sum of raw audio and audio caption), fdt (satellite-image caption): scalars before the exponential. positives and
    pseudo_positive_weight: as in `contrastive_loss`.
    """

    def term(first: Tensor, second: Tensor, scale: str) -> Tensor:
        return contrastive_loss(first, second, logit_scales[scale], positives, pseudo_positive_weight)

    return LossTerms(
        term(satellite, audio, "ia"),
        term(satellite, audio_caption, "it"),
        term(audio, audio_caption, "at"),
        term(satellite, audio + audio_caption, "i_at"),
        term(satellite, image_caption, "fdt"),
    )
