"""The training loop: steps, log, evaluation, checkpoints."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sat2sound.checkpoints import save_safetensors
from sat2sound.errors import ConfigurationError, Sat2SoundError
from sat2sound.evaluation.starter import StarterFigures
from sat2sound.models import Sat2Sound
from sat2sound.training.audio_warm_up import warm_up_audio
from sat2sound.training.averaging import MovingAverage
from sat2sound.training.batches import Batches
from sat2sound.training.objective import Classifiers, Objective
from sat2sound.training.recipe import Recipe
from sat2sound.training.stochastic_depth import StochasticDepth
from sat2sound.training.text_states import TextStates
from sat2sound.training.trainer_state import load_training, save_training

LAST, BEST, LOG = "last.safetensors", "best.safetensors", "log.csv"
COLUMNS = (
    "epoch", "step", "image_size", "seconds", "total", "auxiliary", "satellite_audio", "satellite_audio_caption",
    "audio_audio_caption", "satellite_audio_with_caption", "satellite_image_caption", "scene_top1",
    "image_to_group_top1", "audio_to_group_top1", "text_to_scene_p10",
)  # fmt: skip

Evaluate = Callable[[Sat2Sound], StarterFigures]


class LossNotFinite(Sat2SoundError):
    """The loss became NaN or infinite; training stops before the weights are harmed."""


class Trainer:
    """One training into one folder; goes on where an earlier one of the same recipe stopped."""

    def __init__(
        self, model: Sat2Sound, batches: Batches, texts: TextStates, recipe: Recipe, out: Path, evaluate: Evaluate
    ) -> None:
        self.model, self.batches, self.recipe, self.out, self.evaluate = model, batches, recipe, out, evaluate
        labels = sorted(set(batches.recordings.labels))
        self.classifiers = Classifiers(model, sorted(set(batches.scenes)), labels)
        self.objective = Objective(model, self.classifiers, texts, recipe)
        self.average = MovingAverage(model, recipe.average)
        self.depth = StochasticDepth(model.satellite.blocks, recipe.drop_path)
        self.parameters = [*model.parameters(), *self.classifiers.parameters()]
        self.optimizer = torch.optim.AdamW(self._groups(), lr=recipe.learning_rate, betas=(0.9, 0.98))
        self.steps = recipe.steps(len(batches.scenes))
        self.step, self.best, self.warm = 0, -1.0, recipe.audio_warm_up.steps == 0
        self._resume()

    def _groups(self) -> list[dict[str, object]]:
        """Matrices decay; norms, biases, scales and the concepts do not."""
        decaying = [value for value in self.parameters if value.ndim > 1 and value is not self.model.codebook.concepts]
        chosen = {id(value) for value in decaying}
        others = [value for value in self.parameters if id(value) not in chosen]
        decay = self.recipe.weight_decay
        return [{"params": decaying, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "average": self.average.module, "classifiers": self.classifiers}

    def _resume(self) -> None:
        path = self.out / LAST
        if not path.exists():
            return
        facts = load_training(path, self._modules, self.optimizer)
        if facts["recipe"] != self.recipe.to_json():
            raise ConfigurationError(f"{path} is of another recipe; give another --out, or delete it to start again")
        self.step, self.best, self.warm = int(facts["step"]), float(facts["best"]), bool(facts["warm"])

    def run(self, until: int | None = None) -> None:
        """Train to the end, or to step `until`, leaving checkpoints and the log in the folder."""
        self.out.mkdir(parents=True, exist_ok=True)
        if not self.warm:
            self._warm_up()
        per_epoch, started = self.batches.steps_per_epoch, time.monotonic()
        sums: dict[str, list[float]] = {}
        while self.step < (self.steps if until is None else min(until, self.steps)):
            for name, value in self._one_step().items():
                sums.setdefault(name, []).append(value)
            self.step += 1
            if self.step % per_epoch == 0:
                self._end_of_epoch(sums, time.monotonic() - started)
                sums = {}
        self._save()

    def _warm_up(self) -> None:
        def report(step: int, loss: float, _: object) -> None:
            print(f"audio warm-up  step {step}  loss {loss:.3f}", flush=True)

        settings = self.recipe.audio_warm_up
        warm_up_audio(self.model.audio, self.batches.recordings, settings, self.recipe.seed, report)
        self.average.module.load_state_dict(self.model.state_dict())
        self.warm = True
        self._save()

    def _one_step(self) -> dict[str, float]:
        self.model.train()
        self.depth.random = np.random.default_rng([self.recipe.seed, 3, self.step])
        batch = self.batches.make(self.step)
        losses = self.objective(batch, np.random.default_rng([self.recipe.seed, 4, self.step]))
        values = {name: float(value.detach()) for name, value in losses.items()}
        if not math.isfinite(values["total"]):
            raise LossNotFinite(f"loss is {values['total']} at step {self.step}; images of the batch: {batch.ids}")
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate_at(self.step, self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.gradient_norm)
        self.optimizer.step()
        self.average.update(self.model, self.step)
        return values

    def _end_of_epoch(self, sums: dict[str, list[float]], seconds: float) -> None:
        epoch = self.step // self.batches.steps_per_epoch
        row: dict[str, object] = {name: round(float(np.mean(values)), 4) for name, values in sums.items()}
        row |= {"epoch": epoch, "step": self.step, "image_size": self.recipe.image_size(epoch - 1)}
        row["seconds"] = round(seconds, 1)
        if epoch % self.recipe.evaluate_every == 0 or self.step == self.steps:
            found = self.evaluate(self.average.module)
            row |= {name: round(getattr(found, name).value, 4) for name in found.__dataclass_fields__}
            if found.mean() > self.best:
                self.best = found.mean()
                save_safetensors(
                    self.out / BEST, self.model.config, self.average.module.state_dict(), half=True, step=str(self.step)
                )
            self._save()
        self._write(row)
        shown = {name: value for name, value in row.items() if name in COLUMNS}
        print("  ".join(f"{name} {shown[name]}" for name in COLUMNS if name in shown), flush=True)

    def _save(self) -> None:
        save_training(
            self.out / LAST,
            self._modules,
            self.optimizer,
            step=self.step,
            best=self.best,
            warm=self.warm,
            recipe=self.recipe.to_json(),
        )

    def _write(self, row: dict[str, object]) -> None:
        path = self.out / LOG
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)
