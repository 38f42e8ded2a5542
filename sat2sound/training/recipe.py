"""The starter's training recipe: every number that decides what comes out, apart from the model's configuration."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field

from sat2sound.training.audio_augmentation import AudioAugmentation
from sat2sound.training.audio_warm_up import AudioWarmUp
from sat2sound.training.image_augmentation import ImageAugmentation


@dataclass(frozen=True)
class Phase:
    """A number of passes over the images at one size in pixels."""

    image_size: int
    epochs: int


@dataclass(frozen=True)
class Recipe:
    """How the starter is trained.

    label_phases: passes before all others, in which the images alone learn the labels of their scenes: they need the
    most passes, and so each costs the least. phases: passes of images, recordings and captions together. Small images
    first in both, because position follows the ground and not the pixel, and they cost a third. The learning rate
    starts again after the labels. audio_every: every so many steps recordings take part (they cost the most and are
    few); between them images are mixed. mixing: share of those steps. auxiliary: weight of the scene and label
    classifiers that are thrown away. average: decay of the moving average of weights, which is what is evaluated and
    shipped.
    """

    label_phases: tuple[Phase, ...] = (Phase(128, 110), Phase(224, 14))
    phases: tuple[Phase, ...] = (Phase(128, 24), Phase(224, 14))
    batch: int = 64
    recordings: int = 12
    audio_every: int = 3
    label_learning_rate: float = 1e-3
    learning_rate: float = 7e-4
    warm_up_steps: int = 150
    weight_decay: float = 0.05
    gradient_norm: float = 1.0
    mixing: float = 0.6
    label_smoothing: float = 0.1
    auxiliary: float = 0.5
    token_dropout: float = 0.15
    drop_path: float = 0.1
    average: float = 0.997
    evaluate_every: int = 5
    seed: int = 0
    image: ImageAugmentation = field(default_factory=ImageAugmentation)
    audio: AudioAugmentation = field(default_factory=AudioAugmentation)
    audio_warm_up: AudioWarmUp = field(default_factory=AudioWarmUp)

    def steps(self, images: int) -> int:
        """Optimizer steps of the whole training over so many images; the incomplete last batch of a pass is left."""
        return _epochs(self.all_phases) * self.steps_per_epoch(images)

    def steps_per_epoch(self, images: int) -> int:
        """Optimizer steps of one pass."""
        return max(1, images // self.batch)

    @property
    def all_phases(self) -> tuple[Phase, ...]:
        """In their order."""
        return (*self.label_phases, *self.phases)

    @property
    def label_epochs(self) -> int:
        """Passes of images alone, the first ones."""
        return _epochs(self.label_phases)

    def image_size(self, epoch: int) -> int:
        """Side of the views in pixels in this pass, counted from 0 over all phases."""
        for phase in self.all_phases:
            if epoch < phase.epochs:
                return phase.image_size
            epoch -= phase.epochs
        return self.phases[-1].image_size

    def learning_rate_at(self, step: int, images: int) -> float:
        """Linear warm-up, then half a cosine to almost 0: once for the labels, once for the rest."""
        labels = self.label_epochs * self.steps_per_epoch(images)
        if step < labels:
            steps, highest = labels, self.label_learning_rate
        else:
            step, steps, highest = step - labels, self.steps(images) - labels, self.learning_rate
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        return highest * warm * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-6

    def to_json(self) -> str:
        """Compact JSON, for checkpoints and logs."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def _epochs(phases: tuple[Phase, ...]) -> int:
    return sum(phase.epochs for phase in phases)
