"""The parity checks that need no model: losses and retrieval metrics of given embeddings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from sat2sound.evaluation.metrics import Retrieval, retrieval, with_text
from sat2sound.training.losses import sat2sound_loss

Found = tuple[str, Any, float]


def loss_checks(expected: dict[str, Any]) -> Iterator[Found]:
    """(quantity, what this library computes, tolerance); nothing if the folder has no losses."""
    if "loss_values" not in expected:
        return
    names = ("satellite", "audio", "audio_caption", "image_caption")
    satellite, audio, caption, image_caption = (torch.from_numpy(expected[f"loss_{name}"]) for name in names)
    scales = {name: torch.tensor(math.log(1 / 0.07)) for name in ("ia", "it", "at", "i_at", "fdt")}
    yield "loss_values", sat2sound_loss(satellite, audio, caption, image_caption, scales).values(), 1e-4


def retrieval_checks(expected: dict[str, Any]) -> Iterator[Found]:
    """As `loss_checks`, for the metrics over the same embeddings: image to sound, back, and to sound with text."""
    if "retrieval_i2s" not in expected:
        return
    image, sound, text = (expected[f"loss_{name}"] for name in ("satellite", "audio", "audio_caption"))
    yield "retrieval_i2s", _pair(retrieval(image, sound)), 0.0
    yield "retrieval_s2i", _pair(retrieval(sound, image)), 0.0
    yield "retrieval_i2st", _pair(retrieval(image, with_text(sound, text))), 0.0


def _pair(result: Retrieval) -> list[float]:
    return [result.recall_at_ten_percent, result.median_rank]
