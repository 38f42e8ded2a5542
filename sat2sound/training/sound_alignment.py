"""Recordings learn their place among images that stay where they are.

Recordings are few and images cost the most to embed, so this stage embeds the images once, frozen, and trains the audio
branch and the text query map against them with the published loss: many views of a recording at little cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sat2sound.models import Sat2Sound
from sat2sound.satellite_types import satellite_type
from sat2sound.training.audio_augmentation import AudioAugmentation, augment_recordings
from sat2sound.training.averaging import MovingAverage
from sat2sound.training.batches import conditions_of
from sat2sound.training.caption_files import Captions
from sat2sound.training.image_augmentation import ImageAugmentation, augment_images, normalise
from sat2sound.training.losses import contrastive_loss, sat2sound_loss
from sat2sound.training.objective import PSEUDO, Classifiers, shared_targets
from sat2sound.training.starter_data import SCENE_GROUP, AudioSet, ImageSet
from sat2sound.training.text_states import TextStates, drop_tokens

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


@torch.inference_mode()
def embed_views(model: Sat2Sound, images: ImageSet, settings: SoundAlignment, seed: int) -> Tensor:
    """Raw embeddings of random views, by the model in eval mode: float32 [views, images, D]."""
    random, pixels, aerial = np.random.default_rng([seed, 6]), torch.from_numpy(images.pixels), satellite_type("aerial")
    rounds = []
    for _ in range(settings.views):
        embedded = []
        for tiles in torch.split(pixels, BATCH):
            views, distances = augment_images(tiles, settings.image_size, aerial, settings.image, random)
            embedded.append(model.raw_satellite(model.encode_normalised(normalise(views), conditions_of(distances))))
        rounds.append(torch.cat(embedded))
    return torch.stack(rounds).clone()


class _Sampler:
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
        return int(random.choice(self.pictures[group]))

    def scene_caption(self, image: int, random: np.random.Generator) -> str:
        return str(random.choice(self.scene_captions[self.scenes[image]]))

    def sound_caption(self, label: str, random: np.random.Generator) -> str:
        return str(random.choice(self.sound_captions[label]))


def _where(values: Sequence[str], wanted: str) -> list[int]:
    return [at for at, value in enumerate(values) if value == wanted]


def align_sounds(
    model: Sat2Sound,
    images: ImageSet,
    recordings: AudioSet,
    captions: tuple[Captions, Captions],
    texts: TextStates,
    settings: SoundAlignment,
    seed: int,
    report: Report | None = None,
) -> None:
    """Train audio encoder, audio query map and text query map in place; all else stays as it is.

    captions: of scenes, of recordings; texts: must know them. report: called every 50 steps with step, mean loss and
    the averaged model. The model ends with its moving average, in eval mode. Depends on the seed alone.
    """
    model.eval()
    sampler = _Sampler(images, recordings, *captions, settings)
    satellite = embed_views(model, images, settings, seed)
    classifiers = Classifiers(model, sorted(set(images.scenes)), sorted(set(recordings.labels)))
    model.requires_grad_(False)
    trained = nn.ModuleList([model.audio, model.audio_query, model.text_query, classifiers.sound])
    trained.requires_grad_(True)
    parameters = list(trained.parameters())
    decaying, others = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decaying, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    average, losses = MovingAverage(model, settings.average), list[float]()
    for step in range(settings.steps):
        trained.train()
        loss = _loss(model, classifiers, sampler, satellite, texts, np.random.default_rng([seed, 7, step]))
        rate = min(1.0, (step + 1) / 30) * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps))
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update(model, step)
        losses.append(float(loss.detach()))
        if report is not None and (step % 50 == 49 or step + 1 == settings.steps):
            report(step + 1, float(np.mean(losses[-50:])), average.module)
    model.load_state_dict(average.module.state_dict())
    model.requires_grad_(True).eval()


def _loss(
    model: Sat2Sound,
    classifiers: Classifiers,
    sampler: _Sampler,
    satellite: Tensor,
    texts: TextStates,
    random: np.random.Generator,
) -> Tensor:
    settings, scales = sampler.settings, dict(model.logit_scales.items())

    def embed(captions: list[str]) -> Tensor:
        states, mask = texts.of(captions)
        return model.raw_text(states, drop_tokens(mask, settings.token_dropout, random))

    def views(rows: Sequence[int]) -> Tensor:
        return satellite[torch.from_numpy(random.integers(settings.views, size=len(rows))), torch.tensor(rows)]

    log_mels, labels, groups = sampler.recordings_of(random)
    tokens = model.encode_audio(log_mels)
    repeated = [at for at in range(len(groups)) for _ in range(settings.partners)]
    rows = [sampler.image_of(groups[at], random) for at in repeated]
    terms = sat2sound_loss(
        views(rows),
        model.raw_audio(tokens)[repeated],
        embed([sampler.sound_caption(labels[at], random) for at in repeated]),
        embed([sampler.scene_caption(row, random) for row in rows]),
        scales,
        shared_targets([groups[at] for at in repeated]),
        PSEUDO,
    )
    # Scenes that share a sound are told apart by their captions: all scenes, by scene and not by group.
    pictured = [int(row) for row in random.choice(len(sampler.scenes), settings.images, replace=False)]
    captions = embed([sampler.scene_caption(row, random) for row in pictured])
    by_scene = shared_targets([sampler.scenes[row] for row in pictured])
    told_apart = contrastive_loss(views(pictured), captions, scales["fdt"], by_scene, PSEUDO)
    targets = torch.tensor([classifiers.labels[label] for label in labels])
    logits = classifiers.sound(tokens.mean(dim=1))
    auxiliary = functional.cross_entropy(logits, targets, label_smoothing=settings.label_smoothing)
    return terms.total - terms.satellite_image_caption + told_apart + settings.auxiliary * auxiliary
