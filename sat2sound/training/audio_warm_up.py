"""Warm-up of the audio encoder on its own: the recordings are few, and alone they can be seen often at little cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sat2sound.models.audio_transformer import AudioTransformer
from sat2sound.training.audio_augmentation import (
    SILENCE,
    AudioAugmentation,
    LogMel,
    augment_recordings,
)
from sat2sound.training.averaging import MovingAverage
from sat2sound.training.starter_data import AudioSet

Report = Callable[[int, float, "AudioClassifier"], None]


@dataclass(frozen=True)
class AudioWarmUp:
    """steps: 0 leaves the warm-up out. mixing: share of recordings that another one of any kind is mixed into."""

    steps: int = 500
    batch: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    mixing: float = 0.5
    label_smoothing: float = 0.1
    average: float = 0.99
    augmentation: AudioAugmentation = field(default_factory=AudioAugmentation)


class AudioClassifier(nn.Module):
    """The encoder with a linear classifier of recording labels on its mean token; only the encoder is kept."""

    def __init__(self, audio: AudioTransformer, labels: list[str]) -> None:
        super().__init__()
        width = audio.config.output_width
        self.audio, self.labels = audio, labels
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(labels)))

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel: float32 [B, 1, 1001, 64] -> logits float32 [B, labels]."""
        logits: Tensor = self.head(self.audio(log_mel).mean(dim=1))
        return logits


def warm_up_audio(
    audio: AudioTransformer, recordings: AudioSet, settings: AudioWarmUp, seed: int, report: Report | None = None
) -> None:
    """Train `audio` in place to tell the labels of recordings apart; it ends with its moving average.

    report: called every 50 steps with step, mean loss and the averaged classifier. Depends on the seed alone.
    """
    classifier = AudioClassifier(audio, sorted(set(recordings.labels)))
    average = MovingAverage(classifier, settings.average)
    parameters = list(classifier.parameters())
    decaying, others = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decaying, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    losses: list[float] = []
    for step in range(settings.steps):
        classifier.train()
        log_mels, targets = _batch(recordings, classifier.labels, settings, np.random.default_rng([seed, 5, step]))
        loss = functional.cross_entropy(classifier(log_mels), targets)
        rate = min(1.0, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * step / settings.steps))
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update(classifier, step)
        losses.append(float(loss.detach()))
        if report is not None and (step % 50 == 49 or step + 1 == settings.steps):
            report(step + 1, float(np.mean(losses[-50:])), average.module)
    audio.load_state_dict(average.module.audio.state_dict())


def _batch(
    recordings: AudioSet, labels: list[str], settings: AudioWarmUp, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """As many recordings of each group, some mixed: float32 [B, 1, 1001, 64] and targets float32 [B, labels]."""
    groups = sorted(set(recordings.groups))
    members = {group: [at for at, other in enumerate(recordings.groups) if other == group] for group in groups}
    drawn = [groups[at % len(groups)] for at in random.permutation(settings.batch)]
    chosen = [int(random.choice(members[group])) for group in drawn]
    same = [int(random.choice(members[group])) for group in drawn]
    views = augment_recordings(
        [recordings.log_mels[at] for at in chosen],
        [recordings.log_mels[at] for at in same],
        settings.augmentation,
        random,
    )
    targets = np.eye(len(labels), dtype=np.float32)[[labels.index(recordings.labels[at]) for at in chosen]]
    targets = targets * (1 - settings.label_smoothing) + settings.label_smoothing / len(labels)
    return _mix(views, targets, settings.mixing, random)


def _mix(views: LogMel, targets: LogMel, share: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix the power of some views with others; targets follow the power."""
    partner = random.permutation(len(views))
    weight = random.uniform(0.05, 0.5, len(views)) * (random.random(len(views)) < share)
    own, other = (10.0 ** (side / 10.0) for side in (views, views[partner]))
    scale = own.mean(axis=(1, 2, 3)) / np.maximum(other.mean(axis=(1, 2, 3)), 1e-10)
    power = own * (1 - weight)[:, None, None, None] + other * (weight * scale)[:, None, None, None]
    mixed = np.maximum(10.0 * np.log10(np.maximum(power, 1e-10)), SILENCE).astype(np.float32)
    blended = targets * (1 - weight)[:, None] + targets[partner] * weight[:, None]
    return torch.from_numpy(mixed), torch.from_numpy(blended.astype(np.float32))
