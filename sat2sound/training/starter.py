"""Train the starter: `python -m sat2sound.training.starter --data ../shared/data --out build/training`.

Writes log.csv, last.safetensors (to go on after an interruption: run the same command again) and best.safetensors, the
moving average of weights with the best mean of the four figures on the val split.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sat2sound.configs import ModelConfig, load_config
from sat2sound.errors import CorruptCheckpoint, IncompatibleCheckpoint
from sat2sound.evaluation.starter import EvaluationData, StarterFigures, evaluate_starter, read_evaluation_data
from sat2sound.models import Sat2Sound
from sat2sound.training.batches import Batches
from sat2sound.training.caption_files import CaptionFiles, read_caption_files
from sat2sound.training.loop import Trainer
from sat2sound.training.recipe import Phase, Recipe
from sat2sound.training.starter_data import StarterFolder
from sat2sound.training.text_states import TextStates


def make_trainer(
    data: Path,
    out: Path,
    recipe: Recipe,
    config: ModelConfig | None = None,
    files: CaptionFiles | None = None,
    start_from: Sequence[Path] = (),
) -> Trainer:
    """Read everything and set up.

    config, files: default the starter's and all captions. start_from: safetensors, each with some or all of the
    model's parameters to begin with; later ones win. Raises ConfigurationError if data, captions or an earlier
    training in `out` do not fit, CheckpointError if `start_from` is of another model.
    """
    config = config or load_config("starter")
    files, folder = files or read_caption_files(), StarterFolder(data)
    print("reading images, recordings and captions ...", flush=True)
    images, recordings = folder.images("train", prepared=False), folder.recordings("train", prepared=False)
    val = read_evaluation_data(folder, "val", files)
    groups = (*files.scenes.values(), *files.sounds.values(), *files.held_out_scenes.values())
    texts = TextStates(sorted({text for group in groups for text in group}), config.text)
    print(f"{len(images.scenes)} images, {len(recordings.labels)} recordings, {len(texts.texts)} captions", flush=True)
    for problem in folder.damaged:
        print(f"skipped: {problem}", flush=True)
    torch.manual_seed(recipe.seed)
    model = Sat2Sound.from_config(config)
    for path in start_from:
        start(model, path)
    batches = Batches(images, recordings, files.scenes, files.sounds, recipe)
    return Trainer(model, batches, texts, recipe, out, lambda average: _evaluate(average, val, texts))


def start(model: Sat2Sound, path: Path, ignored: tuple[str, ...] = ()) -> None:
    """Put the parameters of a safetensors file into a model; what the file lacks stays.

    ignored: beginnings of names that are not taken from the file. Raises CheckpointError.
    """
    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise CorruptCheckpoint(path, f"not a readable safetensors file ({error})", fix="give another file") from error
    tensors = {name: value for name, value in tensors.items() if not name.startswith(ignored)}
    own = model.state_dict()
    misfits = [name for name, value in tensors.items() if name not in own or own[name].shape != value.shape]
    if misfits:
        raise IncompatibleCheckpoint(
            path, f"parameters of another model: {', '.join(misfits)}", fix="start from weights of this configuration"
        )
    model.load_state_dict(tensors, strict=False)


def _evaluate(model: Sat2Sound, data: EvaluationData, texts: TextStates) -> StarterFigures:
    return evaluate_starter(model, data, texts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's first lines."""
    default = Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with images.csv and audio.csv"
    )
    parser.add_argument("--out", type=Path, default=Path("build/training"), help="where log and checkpoints go")
    parser.add_argument("--phases", type=_phase, nargs="+", default=default.phases, help="PIXELS:EPOCHS ...")
    parser.add_argument("--audio-every", type=int, default=default.audio_every, help="steps between those with sounds")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--audio-warm-up", type=int, default=default.audio_warm_up.steps, help="steps; 0: none")
    parser.add_argument("--start-from", type=Path, nargs="*", default=[], help="safetensors with weights to begin with")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch chooses")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = dataclasses.replace(
        default,
        phases=tuple(options.phases),
        audio_every=options.audio_every,
        learning_rate=options.learning_rate,
        audio_warm_up=dataclasses.replace(default.audio_warm_up, steps=options.audio_warm_up),
        seed=options.seed,
    )
    make_trainer(options.data, options.out, recipe, start_from=options.start_from).run()


def _phase(text: str) -> Phase:
    pixels, _, epochs = text.partition(":")
    try:
        return Phase(int(pixels), int(epochs))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not PIXELS:EPOCHS, e.g. 128:90") from None


if __name__ == "__main__":
    main()
