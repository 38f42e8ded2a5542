"""The starter's training as a task: scenes, recordings of the same kinds of places, and captions written for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sat2sound.errors import ConfigurationError
from sat2sound.evaluation.starter import EvaluationData, evaluate_starter
from sat2sound.models import Sat2Sound
from sat2sound.training.audio_warm_up import warm_up_audio
from sat2sound.training.averaging import MovingAverage
from sat2sound.training.batches import Batch, Batches
from sat2sound.training.objective import Classifiers, Objective
from sat2sound.training.recipe import Recipe
from sat2sound.training.stochastic_depth import StochasticDepth
from sat2sound.training.task import SCORE, Gather
from sat2sound.training.text_states import TextStates


class StarterTask:
    """model: trained in place; its moving average is what is judged. val: the data of the four figures."""

    unused_parameters = True  # recordings take part in some steps only
    stored_half = True

    def __init__(
        self, model: Sat2Sound, batches: Batches, texts: TextStates, recipe: Recipe, val: EvaluationData
    ) -> None:
        self.model, self.batches, self.texts, self.recipe, self.val = model, batches, texts, recipe, val
        labels = sorted(set(batches.recordings.labels))
        self.classifiers = Classifiers(model, sorted(set(batches.scenes)), labels)
        self.objective = Objective(model, self.classifiers, texts, recipe)
        self.average = MovingAverage(model, recipe.average)
        self.depth = StochasticDepth(model.satellite.blocks, recipe.drop_path)
        self.module: nn.Module = nn.ModuleDict(
            {"model": model, "average": self.average.module, "classifiers": self.classifiers}
        )
        self.steps_per_epoch = batches.steps_per_epoch

    @property
    def judged(self) -> Sat2Sound:
        """The moving average."""
        return self.average.module.eval()

    def batch(self, index: int, rank: int, processes: int) -> Batch:
        """See `Task`. Raises ConfigurationError for several processes: there is too little data to share out."""
        if processes > 1:
            raise ConfigurationError(f"the starter trains in one process, not in {processes}: leave out --devices")
        return self.batches.make(index)

    def largest_batch(self, rank: int, processes: int) -> Batch:
        """See `Task`."""
        return self.batch(self.batches.largest, rank, processes)

    def before(self, say: Callable[[str], None]) -> None:
        """The audio encoder's warm-up."""
        settings = self.recipe.audio_warm_up
        if settings.steps:
            warm_up_audio(
                self.model.audio,
                self.batches.recordings,
                settings,
                self.recipe.seed,
                lambda step, loss, _: say(f"audio warm-up: step {step}, loss {loss:.3f}"),
            )
            self.average.module.load_state_dict(self.model.state_dict())

    def losses(self, batch: Batch, index: int, gather: Gather) -> dict[str, Tensor]:
        """See `Objective`."""
        self.average.module.eval()  # whatever Lightning does to the others
        self.depth.random = np.random.default_rng([self.recipe.seed, 3, index])
        return self.objective(batch, np.random.default_rng([self.recipe.seed, 4, index]))

    def after_step(self, step: int) -> None:
        """Move the average."""
        self.average.update(self.model, step)

    def validate(self) -> dict[str, float]:
        """The four figures; SCORE is their mean."""
        return four_figures(self.judged, self.val, self.texts)


def four_figures(model: Sat2Sound, val: EvaluationData, texts: TextStates) -> dict[str, float]:
    """The starter's figures of a model in eval mode, and their mean as SCORE."""
    device = model.device
    found = evaluate_starter(model.cpu(), val, texts)
    model.to(device)
    figures = {field.name: float(getattr(found, field.name).value) for field in dataclasses.fields(found)}
    return {**figures, SCORE: float(torch.tensor(list(figures.values()), dtype=torch.float64).mean())}
