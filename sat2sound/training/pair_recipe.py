"""The published recipe for pairs of places and recordings (MODEL.md, training)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PairRecipe:
    """How a model learns from samples of an image, a recording and captions.

    batch: samples of one contrastive batch over all processes. accumulate: batches per optimizer step. epochs: passes.
    restart_steps: period of the cosine schedule's warm restarts. zoom_levels: drawn per sample; the image caption is
    the one of that level, where the data has it. metadata_drop: share of each piece of metadata that is left out.
    spec_augment: share of recordings with masked bands and stretches. pseudo_positives: weight of that term.
    frozen_batch_norm: the audio encoder's batch norm keeps the statistics it came with.
    evaluate_every: passes between two validations. validation_samples: of the validation split, at most. max_skipped:
    largest share of images, recordings or captions that may be unusable.
    """

    batch: int = 128
    accumulate: int = 1
    epochs: int = 20
    learning_rate: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.2
    restart_steps: int = 5000
    gradient_norm: float = 0.5
    zoom_levels: tuple[int, ...] = (1, 3, 5)
    metadata_drop: float = 0.5
    spec_augment: float = 1.0
    pseudo_positives: float = 0.1
    frozen_batch_norm: bool = False
    evaluate_every: int = 1
    validation_samples: int = 2000
    max_skipped: float = 0.02
    seed: int = 0
