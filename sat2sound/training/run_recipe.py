"""From a recipe and a dataset to a training that runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from sat2sound.configs import ModelConfig, load_config
from sat2sound.data.choice import Choice
from sat2sound.data.opening import open_samples, open_source, open_table
from sat2sound.data.passes import PassSource, TableSource
from sat2sound.errors import ConfigurationError, DatasetError
from sat2sound.evaluation.starter import EvaluationData, read_evaluation_data
from sat2sound.models import Sat2Sound
from sat2sound.models.text_encoder import with_text_encoder
from sat2sound.training.batches import Batches
from sat2sound.training.caption_files import CaptionFiles, read_caption_files
from sat2sound.training.fitting import Machine, Outcome, Run, fit, processes_of, refuse_taken
from sat2sound.training.optimisation import Optimisation
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.pair_task import PairTask
from sat2sound.training.processes import is_first_process
from sat2sound.training.recipe import Recipe
from sat2sound.training.recipe_file import RecipeFile, SoundRecipe
from sat2sound.training.sound_task import SoundTask
from sat2sound.training.start_weights import start
from sat2sound.training.starter_data import AudioSet, ImageSet, StarterFolder
from sat2sound.training.starter_task import StarterTask
from sat2sound.training.task import Task
from sat2sound.training.text_states import TextStates

Say = Callable[[str], None]
_FEWEST = 11  # samples of a gallery: rank 1 must be below a tenth of them


@dataclass(frozen=True)
class Sources:
    """data: a dataset of any known layout. split, validation: names of its splits (validation None: none).

    start_from: safetensors, each with some or all of the model's parameters to begin with; later ones win.
    text_encoder: its folder, where the configuration's is not at hand. satellite: whose imagery, where there are
    several. log_mels: take crops that were computed before, instead of the recordings. stream: read Parquet shards as
    they are needed, samples in random order among so many; None copies them to a local disk first. image_captions: a
    file of them, instead of the dataset's. config, captions: instead of the recipe's model and the captions that come
    with the package.
    """

    data: Path | str
    split: str = "train"
    validation: str | None = "val"
    start_from: Sequence[Path] = ()
    text_encoder: Path | None = None
    satellite: str | None = None
    log_mels: bool = False
    stream: int | None = None
    image_captions: Path | None = None
    config: ModelConfig | None = None
    captions: CaptionFiles | None = None


def train(recipe: RecipeFile, sources: Sources, run: Run, machine: Machine, say: Say = print) -> Outcome:
    """Train as the recipe says, or go on. Errors as `fit`, and ConfigurationError and DatasetError for what is read.

    run: its description, seed and what else a recipe says are taken from the recipe.
    """
    refuse_taken(run)
    if not is_first_process():
        say = _silent
    config = sources.config or load_config(recipe.model)
    if sources.text_encoder is not None:
        config = with_text_encoder(config, sources.text_encoder)
    chosen = recipe.chosen
    torch.manual_seed(chosen.seed)
    model = Sat2Sound.from_config(config)
    ignored = ("audio.",) if recipe.sounds and recipe.sounds.warm_up.steps else ()
    for path in sources.start_from:
        start(model, path, ignored)
    task, optimisation = _prepare(chosen, model, sources, machine, say)
    # What must be the same when a training goes on: else it would not be the one that was begun.
    facts = {"recipe": recipe.to_dict(), "config": json.loads(config.to_json()), "batches": task.steps_per_epoch}
    if sources.stream is not None:  # each process and each of its workers reads rows of its own
        facts["stream"] = {"samples": sources.stream, "processes": processes_of(machine), "workers": machine.workers}
    run = dataclasses.replace(run, seed=chosen.seed, description=json.dumps(facts, sort_keys=True))
    if isinstance(chosen, PairRecipe):
        run = dataclasses.replace(run, max_skipped=chosen.max_skipped)
    if not isinstance(chosen, SoundRecipe):
        run = dataclasses.replace(run, validate_every=chosen.evaluate_every)
    return fit(task, optimisation, run, machine, say)


def _silent(_: str) -> None: ...


def _prepare(
    recipe: PairRecipe | Recipe | SoundRecipe, model: Sat2Sound, sources: Sources, machine: Machine, say: Say
) -> tuple[Task, Optimisation]:
    if isinstance(recipe, PairRecipe):
        return _pairs(recipe, model, sources, machine, say)
    if sources.stream is not None or sources.image_captions is not None:
        raise ConfigurationError("the starter has data and captions of its own; leave out --stream and --captions")
    captions = sources.captions or read_caption_files()
    images, recordings, val, texts = _starter_data(Path(sources.data), captions, model.config, say)
    if isinstance(recipe, SoundRecipe):
        alignment = recipe.alignment
        task = SoundTask(
            model,
            (images, recordings),
            (captions.scenes, captions.sounds),
            texts,
            (alignment, recipe.warm_up),
            val,
            recipe.seed,
        )
        return task, Optimisation(
            steps=alignment.steps,
            learning_rate=alignment.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=alignment.weight_decay,
            gradient_norm=1.0,
            learning_rate_at=alignment.learning_rate_at,
        )
    batches = Batches(images, recordings, captions.scenes, captions.sounds, recipe)
    count = len(images.scenes)
    return StarterTask(model, batches, texts, recipe, val), Optimisation(
        steps=recipe.steps(count),
        learning_rate=recipe.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay,
        gradient_norm=recipe.gradient_norm,
        learning_rate_at=lambda step: recipe.learning_rate_at(step, count),
    )


def _pairs(
    recipe: PairRecipe, model: Sat2Sound, sources: Sources, machine: Machine, say: Say
) -> tuple[Task, Optimisation]:
    judged = Choice(satellite=sources.satellite, captions=sources.image_captions)
    choice = dataclasses.replace(judged, audio=not sources.log_mels, log_mels=sources.log_mels)
    source: PassSource
    if sources.stream is None:
        source = TableSource(open_table(sources.data, sources.split, choice))
    else:
        workers = max(1, machine.workers)
        source = open_source(sources.data, sources.split, choice, window=sources.stream, workers=workers)
    say(f"{len(source)} samples to train on")
    validation = None
    if sources.validation:
        validation = partial(open_samples, sources.data, sources.validation, judged)
        count = sum(1 for _ in itertools.islice(validation(), _FEWEST))  # seen now, and not after the first pass
        if count < _FEWEST:
            raise DatasetError(
                f"split {sources.validation!r} of {sources.data} has {count} samples; recall at 10 % needs {_FEWEST}",
                fix="name another one with --validation-split, or none",
            )
    task = PairTask(model, source, recipe, validation)
    return task, Optimisation(
        steps=task.steps_per_epoch // recipe.accumulate * recipe.epochs,
        learning_rate=recipe.learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        gradient_norm=recipe.gradient_norm,
        accumulate=recipe.accumulate,
        restart_steps=recipe.restart_steps,
    )


def _starter_data(
    data: Path, files: CaptionFiles, config: ModelConfig, say: Say
) -> tuple[ImageSet, AudioSet, EvaluationData, TextStates]:
    folder = StarterFolder(data)
    say("reading images, recordings and captions ...")
    images, recordings = folder.images("train", prepared=False), folder.recordings("train", prepared=False)
    val = read_evaluation_data(folder, "val", files)
    tables = (files.scenes, files.sounds, files.held_out_scenes)
    texts = TextStates(sorted({text for table in tables for of_one in table.values() for text in of_one}), config.text)
    say(f"{len(images.scenes)} images, {len(recordings.labels)} recordings, {len(texts.texts)} captions")
    for problem in folder.damaged:
        say(f"skipped: {problem}")
    return images, recordings, val, texts
