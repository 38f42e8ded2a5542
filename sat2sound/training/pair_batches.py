"""Batches of pairs out of any dataset: decoded when they are needed, drawn from the seed and the position alone."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor

from sat2sound.configs import ModelConfig
from sat2sound.data.passes import Pass, PassShape, PassSource
from sat2sound.data.samples import Sample, read_encoded
from sat2sound.data.skipped import SkippedParts
from sat2sound.errors import ConfigurationError, DatasetError, InvalidInput
from sat2sound.models.text_encoder import text_tokenizer
from sat2sound.preprocessing import (
    SECONDS,
    Limits,
    Metadata,
    SatelliteRequest,
    check_text,
    prepare_audio,
    prepare_satellite,
)
from sat2sound.training.audio_augmentation import mask_bands
from sat2sound.training.pair_recipe import PairRecipe

Captions = tuple[Tensor, Tensor, Tensor]
_SUBSTITUTES = 20  # samples that are tried in place of one that cannot be used


@dataclass(frozen=True)
class PairBatch:
    """pixels: uint8 [B, 224, 224, 3]; conditions: float32 [B, 7]; log_mels: float32 [B, 1, 1001, 64]. Captions: ids and
    mask int64 [B, T], and bool [B] whether the sample has one."""

    pixels: Tensor
    conditions: Tensor
    log_mels: Tensor
    audio_captions: Captions
    image_captions: Captions
    names: tuple[str, ...]
    skipped: SkippedParts = field(default_factory=SkippedParts)

    def to(self, device: Any) -> PairBatch:
        """The same on another device."""
        return dataclasses.replace(
            self,
            pixels=self.pixels.to(device),
            conditions=self.conditions.to(device),
            log_mels=self.log_mels.to(device),
            audio_captions=_moved(self.audio_captions, device),
            image_captions=_moved(self.image_captions, device),
        )


def _moved(captions: Captions, device: Any) -> Captions:
    ids, mask, known = captions
    return ids.to(device), mask.to(device), known.to(device)


@dataclass(frozen=True)
class _Prepared:
    name: str
    pixels: npt.NDArray[np.uint8]
    conditions: npt.NDArray[np.float32]
    log_mel: npt.NDArray[np.float32]
    audio_caption: str | None
    image_caption: str | None


class PairBatches:
    """source: where samples are drawn from. Raises DatasetError if they do not fill one optimizer step."""

    def __init__(
        self, source: PassSource, config: ModelConfig, recipe: PairRecipe, limits: Limits | None = None
    ) -> None:
        self.source, self.config, self.recipe, self.limits = source, config, recipe, limits or Limits()
        self.per_epoch = len(source) // recipe.batch
        self._pass: tuple[tuple[int, int], Pass] | None = None
        if self.per_epoch < recipe.accumulate:
            raise DatasetError(
                f"{len(source)} samples do not fill {recipe.accumulate} batches of {recipe.batch}",
                fix="give more data, or lower `batch` in the recipe",
            )

    def make(self, index: int, rank: int = 0, processes: int = 1) -> PairBatch:
        """Part `rank` of batch `index`, counted from 0 over the whole training.

        A sample without an image or a recording that can be used is replaced by another one, and recorded. Raises
        DatasetError if one after another cannot be used, ConfigurationError if processes cannot share a batch evenly.
        """
        recipe = self.recipe
        if recipe.batch % processes:
            raise ConfigurationError(f"a batch of {recipe.batch} cannot be shared evenly by {processes} processes")
        epoch, within = divmod(index, self.per_epoch)
        drawn = self._one_pass(epoch, processes)
        share = recipe.batch // processes
        first = within * recipe.batch + rank * share
        skipped = SkippedParts()
        rows = [self._usable(drawn, place, skipped, index) for place in range(first, first + share)]
        return PairBatch(
            pixels=torch.from_numpy(np.stack([row.pixels for row in rows])),
            conditions=torch.from_numpy(np.stack([row.conditions for row in rows])),
            log_mels=torch.from_numpy(np.stack([row.log_mel for row in rows])),
            audio_captions=self._tokens([row.audio_caption for row in rows]),
            image_captions=self._tokens([row.image_caption for row in rows]),
            names=tuple(row.name for row in rows),
            skipped=skipped,
        )

    def longest(self, batch: PairBatch) -> PairBatch:
        """The same with every caption as long as the text encoder takes them, all words of it."""
        count = len(batch.names)
        ids = torch.full((count, self.config.text.max_tokens), int(batch.audio_captions[0].max()))
        captions = (ids, torch.ones_like(ids), torch.ones(count, dtype=torch.bool))
        return dataclasses.replace(batch, audio_captions=captions, image_captions=captions)

    def _one_pass(self, epoch: int, processes: int) -> Pass:
        """The last one is kept: the order of a large dataset takes some time to make."""
        key = epoch, processes
        if self._pass is None or self._pass[0] != key:
            shape = PassShape(self.per_epoch, self.recipe.batch, processes)
            self._pass = key, self.source.one_pass(self.recipe.seed, epoch, shape)
        return self._pass[1]

    def _usable(self, drawn: Pass, place: int, skipped: SkippedParts, index: int) -> _Prepared:
        for attempt in range(_SUBSTITUTES):
            random = np.random.default_rng([self.recipe.seed, 2, index, place, attempt])
            found = self._prepare(drawn.sample(place, attempt), random, skipped)
            if found is not None:
                return found
        raise DatasetError(
            f"{_SUBSTITUTES} samples in a row cannot be used, the last because of: {skipped.entries[-1]}",
            fix="mend the dataset, or say with --satellite and --log-mels which of its columns to use",
        )

    def _prepare(self, sample: Sample, random: np.random.Generator, skipped: SkippedParts) -> _Prepared | None:
        recipe = self.recipe
        levels = [level for level in recipe.zoom_levels if level in sample.image_captions] or list(recipe.zoom_levels)
        zoom_level = int(random.choice(levels))
        skipped.give("image")
        skipped.give("audio")
        try:
            if sample.image is None:
                raise InvalidInput("there is none", expected="an image", fix="leave the sample out")
            request = SatelliteRequest(
                read_encoded(sample.image),
                sample.satellite,
                zoom_level,
                **vars(_dropped(sample.metadata, recipe.metadata_drop, random)),
            )
            pixels, conditions = prepare_satellite(request, self.config, self.limits)
        except (InvalidInput, OSError) as error:
            skipped.skip(sample.id, "image", str(error)[:200])
            return None
        try:
            log_mel = self._log_mel(sample, random)
        except (InvalidInput, OSError, soundfile.LibsndfileError) as error:
            skipped.skip(sample.id, "audio", str(error)[:200])
            return None
        if random.random() < recipe.spec_augment:
            log_mel = mask_bands(log_mel[0], random).astype(np.float32)[None]
        return _Prepared(
            sample.id,
            pixels,
            conditions.as_array(),
            log_mel,
            self._caption(sample, "audio_caption", sample.audio_caption, skipped),
            self._caption(
                sample, "image_caption", sample.image_captions.get(zoom_level, sample.image_caption), skipped
            ),
        )

    def _caption(self, sample: Sample, part: str, text: str | None, skipped: SkippedParts) -> str | None:
        """The caption, None if there is none or it cannot be used: the sample takes part without it."""
        if text is None or not text.strip():
            return None
        skipped.give(part)
        try:
            return check_text(text, self.limits)
        except InvalidInput as error:
            skipped.skip(sample.id, part, str(error)[:200])
            return None

    def _log_mel(self, sample: Sample, random: np.random.Generator) -> npt.NDArray[np.float32]:
        """float32 [1, 1001, 64]: one of the crops that came with the data, or ten seconds from anywhere."""
        if sample.log_mels is not None:
            return np.asarray(sample.log_mels[int(random.integers(len(sample.log_mels)))], dtype=np.float32)
        if sample.audio is None:
            raise InvalidInput("there is none", expected="a recording", fix="leave the sample out")
        data = read_encoded(sample.audio)
        start = 0.0
        if data:
            spare = soundfile.info(io.BytesIO(data)).duration - SECONDS
            start = float(random.uniform(0.0, spare)) if spare > 0 else 0.0
        return prepare_audio(data, self.limits, start)

    def _tokens(self, texts: Sequence[str | None]) -> Captions:
        """ids, mask, and which rows have a text: the others hold a word that no term of the loss looks at."""
        ids, mask = text_tokenizer(self.config.text).encode([text or "unknown" for text in texts], self.limits)
        known = torch.tensor([bool(text) for text in texts])
        return torch.from_numpy(ids), torch.from_numpy(mask), known


def _dropped(known: Metadata, share: float, random: np.random.Generator) -> Metadata:
    """Each piece of metadata is left out with this probability; latitude and longitude are one piece."""
    place, month, hour, audio_source, caption_source = random.random(5) < share
    return Metadata(
        latitude=None if place else known.latitude,
        longitude=None if place else known.longitude,
        month=None if month else known.month,
        hour=None if hour else known.hour,
        audio_source=None if audio_source else known.audio_source,
        caption_source=None if caption_source else known.caption_source,
    )
