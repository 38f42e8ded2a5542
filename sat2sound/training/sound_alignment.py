"""What the starter's sound stage sees: embedded views of images that stay where they are, and views of recordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sat2sound.models import Sat2Sound
from sat2sound.satellite_types import satellite_type
from sat2sound.training.audio_augmentation import AudioAugmentation, augment_recordings
from sat2sound.training.batches import conditions_of
from sat2sound.training.caption_files import Captions
from sat2sound.training.image_augmentation import ImageAugmentation, augment_images, normalise
from sat2sound.training.starter_data import SCENE_GROUP, AudioSet, ImageSet

Report = Callable[[int, float, Sat2Sound], None]
BATCH = 32  # images embedded at a time


@dataclass(frozen=True)
class SoundAlignment:
    """views: augmented views per image, image_size: their side in pixels; partners: images, and captions, per view of a
    recording; images: image rows of the caption term; auxiliary: weight of the label classifier that is thrown away."""

    steps: int = 300
    batch: int = 16
    partners: int = 4
    images: int = 128
    views: int = 3
    image_size: int = 192
    learning_rate: float = 4e-4
    weight_decay: float = 0.05
    auxiliary: float = 0.5
    label_smoothing: float = 0.1
    token_dropout: float = 0.15
    average: float = 0.98
    audio: AudioAugmentation = field(default_factory=AudioAugmentation)
    image: ImageAugmentation = field(default_factory=ImageAugmentation)

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up over 30 steps, then half a cosine."""
        warm = min(1.0, (step + 1) / 30)
        return self.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * min(step, self.steps) / self.steps))


@torch.inference_mode()
def embed_views(model: Sat2Sound, images: ImageSet, settings: SoundAlignment, seed: int) -> Tensor:
    """Raw embeddings of random views, by the model in eval mode: float32 [views, images, D]."""
    random, pixels, aerial = np.random.default_rng([seed, 6]), torch.from_numpy(images.pixels), satellite_type("aerial")
    rounds = []
    for _ in range(settings.views):
        embedded = []
        for tiles in torch.split(pixels, BATCH):
            views, distances = augment_images(tiles, settings.image_size, aerial, settings.image, random)
            normalised, conditions = normalise(views).to(model.device), conditions_of(distances).to(model.device)
            embedded.append(model.raw_satellite(model.encode_normalised(normalised, conditions)))
        rounds.append(torch.cat(embedded))
    return torch.stack(rounds).clone()


class Sampler:
    """Draws what a step sees; everything depends on the seed and the step."""

    def __init__(
        self, images: ImageSet, recordings: AudioSet, scenes: Captions, sounds: Captions, settings: SoundAlignment
    ) -> None:
        self.recordings, self.scene_captions, self.sound_captions, self.settings = recordings, scenes, sounds, settings
        self.scenes = images.scenes
        self.groups = sorted(set(recordings.groups))
        self.members = {group: _where(recordings.groups, group) for group in self.groups}
        pictured = [SCENE_GROUP.get(scene, "") for scene in images.scenes]
        self.pictures = {group: _where(pictured, group) for group in self.groups}

    def recordings_of(self, random: np.random.Generator) -> tuple[Tensor, list[str], list[str]]:
        """As many views of recordings of each group: float32 [B, 1, 1001, 64], their labels and groups."""
        groups = [self.groups[at % len(self.groups)] for at in random.permutation(self.settings.batch)]
        chosen, others = ([int(random.choice(self.members[group])) for group in groups] for _ in range(2))
        log_mels = self.recordings.log_mels
        views = augment_recordings(
            [log_mels[at] for at in chosen], [log_mels[at] for at in others], self.settings.audio, random
        )
        return torch.from_numpy(views), [self.recordings.labels[at] for at in chosen], groups

    def image_of(self, group: str, random: np.random.Generator) -> int:
        """A row of an image that shows such a place."""
        return int(random.choice(self.pictures[group]))

    def scene_caption(self, image: int, random: np.random.Generator) -> str:
        """One of the captions of the image's scene."""
        return str(random.choice(self.scene_captions[self.scenes[image]]))

    def sound_caption(self, label: str, random: np.random.Generator) -> str:
        """One of the captions of recordings with this label."""
        return str(random.choice(self.sound_captions[label]))


def _where(values: Sequence[str], wanted: str) -> list[int]:
    return [at for at, value in enumerate(values) if value == wanted]
