"""The published training: five contrastive terms over pairs of places and recordings with their captions."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sat2sound.data.passes import PassSource
from sat2sound.data.samples import Sample
from sat2sound.errors import DatasetError
from sat2sound.evaluation.library import LibraryBackend
from sat2sound.evaluation.report import evaluate
from sat2sound.models import Sat2Sound
from sat2sound.training.losses import contrastive_loss
from sat2sound.training.pair_batches import PairBatch, PairBatches
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.task import SCORE, Gather

_RESAMPLES = 10  # the intervals are not looked at while training


class PairTask:
    """model: trained in place. source: of the training split's samples. validation: samples, or None."""

    unused_parameters = True  # a batch without captions gives the text query map no gradient
    stored_half = False

    def __init__(
        self, model: Sat2Sound, source: PassSource, recipe: PairRecipe, validation: Callable[[], object] | None = None
    ) -> None:
        self.model, self.recipe = model, recipe
        self.module: nn.Module = model
        self.batches = PairBatches(source, model.config, recipe)
        self.steps_per_epoch = self.batches.per_epoch
        self._validation = validation

    @property
    def judged(self) -> Sat2Sound:
        """The model as it is."""
        return self.model.eval()

    def batch(self, index: int, rank: int, processes: int) -> PairBatch:
        """See `Task`."""
        return self.batches.make(index, rank, processes)

    def largest_batch(self, rank: int, processes: int) -> PairBatch:
        """The first batch, with captions of the greatest length."""
        return self.batches.longest(self.batches.make(0, rank, processes))

    def before(self, say: Callable[[str], None]) -> None:
        """Nothing."""

    def after_step(self, step: int) -> None:
        """Nothing."""

    def losses(self, batch: PairBatch, index: int, gather: Gather) -> dict[str, Tensor]:
        """The five terms and the total. A term is over the samples that have both of its sides."""
        model = self.model
        if self.recipe.frozen_batch_norm:
            model.audio.bn0.eval()
        image_tokens = model.encode_satellite(batch.pixels, batch.conditions)
        audio_tokens = model.encode_audio(batch.log_mels)
        with torch.no_grad():
            states = [model.encode_text(ids, mask) for ids, mask, _ in (batch.audio_captions, batch.image_captions)]
        # Codebook pooling stays in float32 whatever the encoders use (MODEL.md: sparsemax fails in half precision).
        with torch.autocast(image_tokens.device.type, enabled=False):
            satellite = gather(model.raw_satellite(image_tokens.float()))
            audio = gather(model.raw_audio(audio_tokens.float()))
            heard, shown = (
                gather(model.raw_text(state.float(), captions[1]))
                for state, captions in zip(states, (batch.audio_captions, batch.image_captions), strict=True)
            )
            has_heard, has_shown = (
                gather(captions[2].float()) > 0.5 for captions in (batch.audio_captions, batch.image_captions)
            )
            scales, everyone = model.logit_scales, torch.ones_like(has_heard)
            terms = {
                "satellite_audio": self._term(satellite, audio, scales["ia"], everyone),
                "satellite_audio_caption": self._term(satellite, heard, scales["it"], has_heard),
                "audio_audio_caption": self._term(audio, heard, scales["at"], has_heard),
                "satellite_audio_with_caption": self._term(satellite, audio + heard, scales["i_at"], has_heard),
                "satellite_image_caption": self._term(satellite, shown, scales["fdt"], has_shown),
            }
            pairs = (terms["satellite_audio"] + terms["satellite_audio_caption"] + terms["audio_audio_caption"]) / 3
            total = pairs + terms["satellite_audio_with_caption"] + terms["satellite_image_caption"]
        return {**terms, "total": total}

    def _term(self, first: Tensor, second: Tensor, scale: Tensor, rows: Tensor) -> Tensor:
        if int(rows.sum()) < 2:  # nothing to tell apart; a zero that belongs to the graph of every process
            return 0.0 * (first.sum() + second.sum()) + 0.0 * scale
        return contrastive_loss(first[rows], second[rows], scale, pseudo_positive_weight=self.recipe.pseudo_positives)

    def validate(self) -> dict[str, float]:
        """Recall at 10 % between images and recordings, both ways without text; SCORE is their mean."""
        if self._validation is None:
            return {}
        samples: list[Sample] = list(itertools.islice(self._validation(), self.recipe.validation_samples))  # type: ignore[call-overload]
        if not samples:
            raise DatasetError("the validation split is empty", fix="name another one, or none")
        report = evaluate(
            samples,
            LibraryBackend(self.judged, "in training"),
            max_skipped_share=self.recipe.max_skipped,
            resamples=_RESAMPLES,
        )
        figures = {
            f"{result.protocol.query}_to_{result.protocol.gallery}_r10p": result.figures.recall_at_10_percent.value
            for result in report.retrieval
            if result.protocol.text == "none" and {result.protocol.query, result.protocol.gallery} == {"image", "audio"}
        }
        return {**figures, SCORE: sum(figures.values()) / max(1, len(figures))}
