"""Give weights a new audio branch: `python -m sat2sound.training.starter_sounds --start-from best.safetensors`.

Two steps: the audio encoder learns from nothing to tell the recordings' labels apart (`audio_warm_up`), then it learns
its place among the images, which stay where they are (`sound_alignment`). Writes best.safetensors, the weights with the
best mean of the four figures on the val split; `sat2sound.training.starter` gives the weights to start from.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sat2sound.checkpoints import save_safetensors
from sat2sound.configs import ModelConfig, load_config
from sat2sound.evaluation.starter import (
    EvaluationData,
    StarterFigures,
    embed_images,
    embed_recordings,
    embed_texts,
    figures,
    read_evaluation_data,
)
from sat2sound.models import Sat2Sound
from sat2sound.training.audio_warm_up import AudioWarmUp, warm_up_audio
from sat2sound.training.caption_files import CaptionFiles, read_caption_files
from sat2sound.training.loop import BEST
from sat2sound.training.sound_alignment import SoundAlignment, align_sounds
from sat2sound.training.starter import start
from sat2sound.training.starter_data import SCENE_GROUP, StarterFolder
from sat2sound.training.text_states import TextStates


def train_sounds(
    data: Path,
    start_from: Path,
    out: Path,
    warm_up: AudioWarmUp,
    alignment: SoundAlignment,
    seed: int = 0,
    config: ModelConfig | None = None,
    files: CaptionFiles | None = None,
) -> StarterFigures:
    """Train, write `out`/best.safetensors and return its figures on val.

    start_from: safetensors with the image branch, the codebook and the text query map; its audio encoder is not used,
    unless `warm_up.steps` is 0. Raises ConfigurationError if data or captions do not fit, CheckpointError if the
    weights are of another model.
    """
    config, files, folder = config or load_config("starter"), files or read_caption_files(), StarterFolder(data)
    images, recordings = folder.images("train", prepared=False), folder.recordings("train", prepared=False)
    val = read_evaluation_data(folder, "val", files)
    tables = (files.scenes, files.sounds, files.held_out_scenes)
    texts = TextStates(sorted({text for table in tables for of_one in table.values() for text in of_one}), config.text)
    torch.manual_seed(seed)
    model = Sat2Sound.from_config(config)
    start(model, start_from, ignored=("audio.",) if warm_up.steps else ())
    if warm_up.steps:
        warm_up_audio(model.audio, recordings, warm_up, seed, lambda step, loss, _: _say("warm-up", step, loss))
    model.eval()
    judge, best = _Judge(model, val, texts), list[StarterFigures]()
    out.mkdir(parents=True, exist_ok=True)

    def report(step: int, loss: float, average: Sat2Sound) -> None:
        found = judge(average)
        _say("alignment", step, loss, **{name: value["value"] for name, value in dataclasses.asdict(found).items()})
        if not best or found.mean() > best[-1].mean():
            best.append(found)
            save_safetensors(out / BEST, config, average.state_dict(), half=True, step=str(step))

    align_sounds(model, images, recordings, (files.scenes, files.sounds), texts, alignment, seed, report)
    return best[-1]


class _Judge:
    """The four figures on val while the images stay where they are: they are embedded once."""

    def __init__(self, model: Sat2Sound, data: EvaluationData, texts: TextStates) -> None:
        self.data, self.texts, self.images = data, texts, embed_images(model, data.images.pixels)
        self.log_mels = np.stack([windows[:1] for windows in data.recordings.log_mels])

    def __call__(self, model: Sat2Sound) -> StarterFigures:
        scenes = self.data.images.scenes
        return figures(
            self.images,
            scenes,
            [SCENE_GROUP.get(scene, "") for scene in scenes],
            embed_recordings(model, self.log_mels),
            self.data.recordings.groups,
            embed_texts(model, self.texts, self.data.texts),
            self.data.held_out,
        )


def _say(stage: str, step: int, loss: float, **values: float) -> None:
    shown = "".join(f"  {name} {value:.4f}" for name, value in values.items())
    print(f"{stage}  step {step}  loss {loss:.3f}{shown}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's first lines."""
    warm_up, alignment = AudioWarmUp(), SoundAlignment()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="with images.csv and audio.csv")
    parser.add_argument("--start-from", type=Path, required=True, help="safetensors with the image branch")
    parser.add_argument("--out", type=Path, default=Path("build/training-sounds"), help="where the weights go")
    parser.add_argument("--warm-up", type=int, default=warm_up.steps, help="steps; 0: keep the audio encoder")
    parser.add_argument("--steps", type=int, default=alignment.steps, help="of the alignment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch chooses")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    train_sounds(
        options.data,
        options.start_from,
        options.out,
        dataclasses.replace(warm_up, steps=options.warm_up),
        dataclasses.replace(alignment, steps=options.steps),
        options.seed,
    )


if __name__ == "__main__":
    main()
