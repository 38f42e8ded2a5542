"""What the starter minimises: the published terms over samples that share a scene, and two auxiliary classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sat2sound.models import Sat2Sound
from sat2sound.training.batches import Batch, Sounds
from sat2sound.training.losses import contrastive_loss, sat2sound_loss
from sat2sound.training.recipe import Recipe
from sat2sound.training.text_states import TextStates, drop_tokens

PSEUDO = 0.0  # which samples fit each other is known here; the published loss has to guess


class Classifiers(nn.Module):
    """Linear classifiers on mean tokens: they carry gradient past the codebook's pooling, and are thrown away."""

    def __init__(self, model: Sat2Sound, scenes: Sequence[str], labels: Sequence[str]) -> None:
        super().__init__()
        self.scenes = {scene: index for index, scene in enumerate(scenes)}
        self.labels = {label: index for index, label in enumerate(labels)}
        width, audio_width = model.config.embedding, model.config.audio.output_width
        self.image = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(self.scenes)))
        self.sound = nn.Sequential(nn.LayerNorm(audio_width), nn.Linear(audio_width, len(self.labels)))


def shared_targets(keys: Sequence[str]) -> Tensor:
    """Rows with the same key are each other's positives: float32 [B, B], rows sum to 1."""
    codes = np.unique(np.asarray(keys), return_inverse=True)[1]
    same = torch.from_numpy((codes[:, None] == codes[None, :]).astype(np.float32))
    return same / same.sum(dim=1, keepdim=True)


class Objective:
    """Loss of a batch."""

    def __init__(self, model: Sat2Sound, classifiers: Classifiers, texts: TextStates, recipe: Recipe) -> None:
        self.model, self.classifiers, self.texts, self.recipe = model, classifiers, texts, recipe

    def __call__(self, batch: Batch, random: np.random.Generator) -> dict[str, Tensor]:
        """Scalars by name; "total" is what is minimised. random: for dropping tokens of captions."""
        recipe, scales = self.recipe, self.model.logit_scales
        tokens = self.model.encode_normalised(batch.images, batch.conditions)
        scenes = torch.tensor([self.classifiers.scenes[scene] for scene in batch.scenes], device=tokens.device)
        classes = functional.one_hot(scenes, len(self.classifiers.scenes)).to(torch.float32)
        if batch.mixing is not None:
            classes = batch.mixing.targets(classes)
        auxiliary = self._classify(self.classifiers.image(tokens.mean(dim=1)), classes)
        if batch.labels_only:
            return {"auxiliary": auxiliary, "total": auxiliary}
        satellite = self.model.raw_satellite(tokens)
        captions = self._embed(batch.captions, random)
        targets = shared_targets(batch.scenes).to(satellite.device)
        if batch.mixing is not None:
            targets = batch.mixing.targets(targets)
        terms: dict[str, Tensor] = {}
        if batch.sounds is None:
            terms["satellite_image_caption"] = contrastive_loss(satellite, captions, scales["fdt"], targets, PSEUDO)
            total = terms["satellite_image_caption"]
        else:
            terms, sound_auxiliary = self._with_sounds(batch.sounds, satellite, captions, targets, random)
            total, auxiliary = terms.pop("total"), auxiliary + sound_auxiliary
        return {**terms, "auxiliary": auxiliary, "total": total + recipe.auxiliary * auxiliary}

    def _with_sounds(
        self, sounds: Sounds, satellite: Tensor, captions: Tensor, targets: Tensor, random: np.random.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        """All five terms: those with sound over the rows that have one, the image captions over all rows."""
        tokens = self.model.encode_audio(sounds.log_mels)
        audio = self.model.raw_audio(tokens)[sounds.recording]
        audio_captions = self._embed(sounds.captions, random)
        rows, scales = satellite[sounds.rows], dict(self.model.logit_scales.items())
        together = shared_targets(sounds.groups).to(satellite.device)
        loss = sat2sound_loss(rows, audio, audio_captions, captions[sounds.rows], scales, together, PSEUDO)
        image_caption = contrastive_loss(satellite, captions, scales["fdt"], targets, PSEUDO)
        terms = {
            "satellite_audio": loss.satellite_audio,
            "satellite_audio_caption": loss.satellite_audio_caption,
            "audio_audio_caption": loss.audio_audio_caption,
            "satellite_audio_with_caption": loss.satellite_audio_with_caption,
            "satellite_image_caption": image_caption,
            # The image captions distinguish scenes that share a sound: all rows, by scene and not by group.
            "total": loss.total - loss.satellite_image_caption + image_caption,
        }
        labels = torch.tensor([self.classifiers.labels[label] for label in sounds.labels], device=satellite.device)
        classes = functional.one_hot(labels, len(self.classifiers.labels)).to(torch.float32)
        return terms, self._classify(self.classifiers.sound(tokens.mean(dim=1)), classes)

    def _embed(self, texts: Sequence[str], random: np.random.Generator) -> Tensor:
        states, mask = self.texts.of(texts)
        device, kept = self.model.device, drop_tokens(mask, self.recipe.token_dropout, random)
        return self.model.raw_text(states.to(device), kept.to(device))

    def _classify(self, logits: Tensor, classes: Tensor) -> Tensor:
        smoothed = classes * (1 - self.recipe.label_smoothing) + self.recipe.label_smoothing / classes.shape[1]
        return functional.cross_entropy(logits, smoothed)
