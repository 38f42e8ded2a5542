"""What one training step sees. Everything drawn at random depends only on the seed and the step: resuming is exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sat2sound.contract import CONDITIONS
from sat2sound.data.skipped import SkippedParts
from sat2sound.satellite_types import satellite_type
from sat2sound.training.audio_augmentation import augment_recordings
from sat2sound.training.caption_files import Captions
from sat2sound.training.image_augmentation import augment_images, normalise
from sat2sound.training.image_mixing import Mixing, draw_mixing
from sat2sound.training.recipe import Recipe
from sat2sound.training.starter_data import SCENE_GROUP, AudioSet, ImageSet


@dataclass(frozen=True)
class Sounds:
    """Recordings of a batch, and which image row goes with which.

    log_mels: float32 [R, 1, 1001, 64]; labels: per recording; rows: image rows that have a sound; recording: per such
    row its recording; captions, groups: per such row.
    """

    log_mels: Tensor
    labels: tuple[str, ...]
    rows: Tensor
    recording: Tensor
    captions: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Images float32 [B, 3, S, S] normalised, conditions float32 [B, 7], and per row its scene and a caption of it.

    labels_only: nothing but the scenes' labels is to be learned from it.
    """

    images: Tensor
    conditions: Tensor
    scenes: tuple[str, ...]
    captions: tuple[str, ...]
    ids: tuple[int, ...]
    mixing: Mixing | None
    sounds: Sounds | None
    labels_only: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Which images, for messages."""
        return tuple(f"{scene} (row {row})" for scene, row in zip(self.scenes, self.ids, strict=True))

    @property
    def skipped(self) -> SkippedParts:
        """Nothing: damaged files were left out when the data was read."""
        return SkippedParts()

    def to(self, device: Any) -> Batch:
        """The same on another device."""
        sounds = self.sounds and dataclasses.replace(self.sounds, log_mels=self.sounds.log_mels.to(device))
        mixing = self.mixing and dataclasses.replace(self.mixing, partner=self.mixing.partner.to(device))
        return dataclasses.replace(
            self, images=self.images.to(device), conditions=self.conditions.to(device), mixing=mixing, sounds=sounds
        )


class Batches:
    """Makes batches out of images, recordings and captions."""

    def __init__(
        self, images: ImageSet, recordings: AudioSet, scenes: Captions, sounds: Captions, recipe: Recipe
    ) -> None:
        self.recipe, self.recordings, self.scene_captions, self.sound_captions = recipe, recordings, scenes, sounds
        self.pixels, self.scenes = torch.from_numpy(images.pixels), images.scenes
        self.steps_per_epoch = recipe.steps_per_epoch(len(images.scenes))
        self._by_group: Mapping[str, list[int]] = {
            group: [index for index, other in enumerate(recordings.groups) if other == group]
            for group in sorted(set(recordings.groups))
        }

    def make(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over the whole training."""
        recipe, epoch = self.recipe, step // self.steps_per_epoch
        order = np.random.default_rng([recipe.seed, 1, epoch]).permutation(len(self.scenes))
        start = (step % self.steps_per_epoch) * recipe.batch
        ids = order[start : start + recipe.batch]
        random = np.random.default_rng([recipe.seed, 2, step])
        views, distances = augment_images(
            self.pixels[torch.from_numpy(ids)], recipe.image_size(epoch), satellite_type("aerial"), recipe.image, random
        )
        images = normalise(views)
        scenes = tuple(self.scenes[index] for index in ids)
        labels_only = epoch < recipe.label_epochs
        with_audio = not labels_only and step % recipe.audio_every == 0
        mixing = None if with_audio or random.random() >= recipe.mixing else draw_mixing(images, random)
        return Batch(
            images=mixing.apply(images) if mixing else images,
            conditions=conditions_of(distances),
            scenes=scenes,
            captions=tuple(_pick(self.scene_captions[scene], random) for scene in scenes),
            ids=tuple(int(index) for index in ids),
            mixing=mixing,
            sounds=self._sounds(scenes, random) if with_audio else None,
            labels_only=labels_only,
        )

    @property
    def largest(self) -> int:
        """A step whose batch is as large as any: of the largest images, with recordings where these have some."""
        recipe, phases = self.recipe, self.recipe.all_phases
        # The last phase of the largest size: those with recordings come after those without.
        at = max(range(len(phases)), key=lambda at: (phases[at].image_size, at))
        before = sum(phase.epochs for phase in phases[:at]) * self.steps_per_epoch
        return before if at < len(recipe.label_phases) else -(-before // recipe.audio_every) * recipe.audio_every

    def _sounds(self, scenes: tuple[str, ...], random: np.random.Generator) -> Sounds | None:
        rows = [row for row, scene in enumerate(scenes) if SCENE_GROUP.get(scene) in self._by_group]
        if len(rows) < 2:
            return None
        groups = tuple(SCENE_GROUP[scenes[row]] for row in rows)
        present = sorted(set(groups))
        # The same number for every group: the data has 2 recordings of roads and 29 of forests.
        drawn_groups = [present[index % len(present)] for index in range(max(self.recipe.recordings, len(present)))]
        drawn = [int(random.choice(self._by_group[group])) for group in drawn_groups]
        backgrounds = [int(random.choice(self._by_group[group])) for group in drawn_groups]
        all_windows = self.recordings.log_mels
        log_mels = augment_recordings(
            [all_windows[index] for index in drawn],
            [all_windows[index] for index in backgrounds],
            self.recipe.audio,
            random,
        )
        candidates = {group: [at for at, other in enumerate(drawn_groups) if other == group] for group in present}
        chosen = [int(random.choice(candidates[group])) for group in groups]
        labels = tuple(self.recordings.labels[index] for index in drawn)
        return Sounds(
            log_mels=torch.from_numpy(log_mels),
            labels=labels,
            rows=torch.tensor(rows),
            recording=torch.tensor(chosen),
            captions=tuple(_pick(self.sound_captions[labels[at]], random) for at in chosen),
            groups=groups,
        )


def conditions_of(ground_sample_distance: Tensor) -> Tensor:
    """float32 [B], metres per pixel -> float32 [B, 7] in contract.CONDITIONS order, all else missing (NaN)."""
    conditions = torch.full((len(ground_sample_distance), len(CONDITIONS)), float("nan"))
    conditions[:, [tensor.name for tensor in CONDITIONS].index("GSD")] = ground_sample_distance
    return conditions


def _pick(texts: tuple[str, ...], random: np.random.Generator) -> str:
    return texts[int(random.integers(len(texts)))]
