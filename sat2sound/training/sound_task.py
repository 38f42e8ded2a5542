"""An optional later stage of the starter as a task: recordings learn their place among images that stay where they are.

Recordings are few and images cost the most to embed, so this stage embeds the images once, frozen, and trains the audio
branch and the text query map against them with the published loss: many views of a recording at little cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sat2sound.data.skipped import SkippedParts
from sat2sound.errors import ConfigurationError
from sat2sound.evaluation.starter import EvaluationData
from sat2sound.models import Sat2Sound
from sat2sound.training.audio_warm_up import AudioWarmUp, warm_up_audio
from sat2sound.training.averaging import MovingAverage
from sat2sound.training.caption_files import Captions
from sat2sound.training.losses import contrastive_loss, sat2sound_loss
from sat2sound.training.objective import PSEUDO, Classifiers, shared_targets
from sat2sound.training.sound_alignment import Sampler, SoundAlignment, embed_views
from sat2sound.training.starter_data import AudioSet, ImageSet
from sat2sound.training.starter_task import four_figures
from sat2sound.training.task import Gather
from sat2sound.training.text_states import TextStates, drop_tokens

STEPS_PER_PASS = 50  # there are no passes: this is how often it is judged


@dataclass(frozen=True)
class SoundBatch:
    """Everything is drawn when the loss is computed, from the number of the batch."""

    index: int
    skipped: SkippedParts

    @property
    def names(self) -> tuple[str, ...]:
        """Which batch, for messages."""
        return (f"drawn for batch {self.index}",)

    def to(self, device: object) -> SoundBatch:
        """Itself."""
        return self


class SoundTask:
    """model: trained in place; its moving average is what is judged. captions: of scenes, of recordings."""

    unused_parameters = True
    stored_half = True

    def __init__(
        self,
        model: Sat2Sound,
        data: tuple[ImageSet, AudioSet],
        captions: tuple[Captions, Captions],
        texts: TextStates,
        settings: tuple[SoundAlignment, AudioWarmUp],
        val: EvaluationData,
        seed: int,
    ) -> None:
        self.model, self.texts, self.val, self.seed = model, texts, val, seed
        self.settings, self.warm_up = settings
        self.images, self.recordings = data
        self.sampler = Sampler(self.images, self.recordings, *captions, self.settings)
        self.classifiers = Classifiers(model, sorted(set(self.images.scenes)), sorted(set(self.recordings.labels)))
        model.requires_grad_(False)
        for part in (model.audio, model.audio_query, model.text_query, self.classifiers.sound):
            part.requires_grad_(True)
        self.classifiers.image.requires_grad_(False)
        self.average = MovingAverage(model, self.settings.average)
        self.module: nn.Module = nn.ModuleDict(
            {"model": model, "average": self.average.module, "classifiers": self.classifiers}
        )
        self.steps_per_epoch = min(STEPS_PER_PASS, self.settings.steps)
        self._views: Tensor | None = None

    @property
    def judged(self) -> Sat2Sound:
        """The moving average."""
        return self.average.module.eval()

    def batch(self, index: int, rank: int, processes: int) -> SoundBatch:
        """See `Task`. Raises ConfigurationError for several processes."""
        if processes > 1:
            raise ConfigurationError(f"the starter trains in one process, not in {processes}: leave out --devices")
        return SoundBatch(index, SkippedParts())

    def largest_batch(self, rank: int, processes: int) -> SoundBatch:
        """Any: all have the same shapes."""
        return self.batch(0, rank, processes)

    def before(self, say: Callable[[str], None]) -> None:
        """The audio encoder's warm-up."""
        if self.warm_up.steps:
            warm_up_audio(
                self.model.audio,
                self.recordings,
                self.warm_up,
                self.seed,
                lambda step, loss, _: say(f"audio warm-up: step {step}, loss {loss:.3f}"),
            )
            self.average.module.load_state_dict(self.model.state_dict())

    def after_step(self, step: int) -> None:
        """Move the average."""
        self.average.update(self.model, step)

    def validate(self) -> dict[str, float]:
        """The four figures; SCORE is their mean."""
        return four_figures(self.judged, self.val, self.texts)

    def losses(self, batch: SoundBatch, index: int, gather: Gather) -> dict[str, Tensor]:
        """The published terms over views of recordings, captions told apart by scene, and the label classifier."""
        model, sampler, settings = self.model, self.sampler, self.settings
        for part in (model.satellite, model.projector, model.satellite_query, self.average.module):
            part.eval()
        random = np.random.default_rng([self.seed, 7, index])
        log_mels, labels, groups = sampler.recordings_of(random)
        tokens = model.encode_audio(log_mels.to(model.device))
        repeated = [at for at in range(len(groups)) for _ in range(settings.partners)]
        rows = [sampler.image_of(groups[at], random) for at in repeated]
        terms = sat2sound_loss(
            self._images(rows, random),
            model.raw_audio(tokens)[repeated],
            self._texts([sampler.sound_caption(labels[at], random) for at in repeated], random),
            self._texts([sampler.scene_caption(row, random) for row in rows], random),
            dict(model.logit_scales.items()),
            shared_targets([groups[at] for at in repeated]).to(model.device),
            PSEUDO,
        )
        # Scenes that share a sound are told apart by their captions: all scenes, by scene and not by group.
        pictured = [int(row) for row in random.choice(len(sampler.scenes), settings.images, replace=False)]
        captions = self._texts([sampler.scene_caption(row, random) for row in pictured], random)
        by_scene = shared_targets([sampler.scenes[row] for row in pictured]).to(model.device)
        told_apart = contrastive_loss(
            self._images(pictured, random), captions, model.logit_scales["fdt"], by_scene, PSEUDO
        )
        targets = torch.tensor([self.classifiers.labels[label] for label in labels], device=model.device)
        logits = self.classifiers.sound(tokens.mean(dim=1))
        auxiliary = functional.cross_entropy(logits, targets, label_smoothing=settings.label_smoothing)
        total = terms.total - terms.satellite_image_caption + told_apart + settings.auxiliary * auxiliary
        return {
            "satellite_audio": terms.satellite_audio,
            "satellite_image_caption": told_apart,
            "auxiliary": auxiliary,
            "total": total,
        }

    def _images(self, rows: list[int], random: np.random.Generator) -> Tensor:
        """Raw embeddings of random views of these images."""
        if self._views is None:  # the image branch does not change: the same after an interruption
            training = self.model.training
            self._views = embed_views(self.model.eval(), self.images, self.settings, self.seed)
            self.model.train(training)
        drawn = torch.from_numpy(random.integers(self.settings.views, size=len(rows)))
        return self._views[drawn, torch.tensor(rows)].to(self.model.device)

    def _texts(self, captions: list[str], random: np.random.Generator) -> Tensor:
        states, mask = self.texts.of(captions)
        kept = drop_tokens(mask, self.settings.token_dropout, random)
        return self.model.raw_text(states.to(self.model.device), kept.to(self.model.device))
