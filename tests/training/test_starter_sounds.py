"""The audio branch on its own: it learns, images stay where they are, and the same seed gives the same weights."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from starter_folder import SCENES, SOUNDS, write_starter_folder

from sat2sound.checkpoints import load_model, save_safetensors
from sat2sound.configs import AudioConfig, CodebookConfig, ModelConfig, SatelliteConfig, load_config
from sat2sound.errors import IncompatibleCheckpoint
from sat2sound.models import Sat2Sound
from sat2sound.training.audio_warm_up import AudioWarmUp
from sat2sound.training.callbacks import BEST
from sat2sound.training.caption_files import CaptionFiles, read_caption_files
from sat2sound.training.fitting import Machine, Run
from sat2sound.training.recipe_file import RecipeFile, SoundRecipe
from sat2sound.training.run_recipe import Sources, train
from sat2sound.training.sound_alignment import SoundAlignment

CONFIG = replace(
    load_config("starter"),
    embedding=32,
    satellite=SatelliteConfig(type="aerial", width=32, depth=1, heads=2, stem="convolutional"),
    audio=AudioConfig(width=8, depths=(1, 1), heads=(2, 2), window=8, patch_size=16, stem="convolutional"),
    codebook=CodebookConfig(size=64, temperature=20.0),
)
ALL = read_caption_files()
FILES = CaptionFiles(
    scenes={scene: ALL.scenes[scene][3:6] for scene in SCENES},
    sounds={label: ALL.sounds[label][:2] for label, _ in SOUNDS.values()},
    held_out_scenes={scene: ALL.held_out_scenes[scene] for scene in SCENES},
    held_out_groups={},
)
WARM_UP = AudioWarmUp(steps=4, batch=6, learning_rate=5e-3)
ALIGNMENT = SoundAlignment(steps=100, batch=6, partners=2, images=12, views=1, image_size=32, learning_rate=1e-2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_starter_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_safetensors(path, CONFIG, Sat2Sound.from_config(CONFIG).state_dict())
    return path


def align(
    data: Path, weights: Path, out: Path, settings: SoundAlignment, config: ModelConfig = CONFIG, **options: Any
) -> None:
    recipe = RecipeFile("starter", sounds=SoundRecipe(WARM_UP, settings, seed=3))
    sources = Sources(data, start_from=(weights,), config=config, captions=FILES)
    train(recipe, sources, Run(out, bar=False, resume=True, **options), Machine("cpu", threads=1), lambda _: None)


def test_it_learns(data: Path, weights: Path, tmp_path: Path) -> None:
    align(data, weights, tmp_path, ALIGNMENT)
    with (tmp_path / "metrics/000-start/metrics.csv").open(newline="", encoding="utf-8") as file:
        losses = [float(row["train/total"]) for row in csv.DictReader(file) if row["train/total"]]
    assert len(losses) == 100
    assert sum(losses[50:]) < 0.97 * sum(losses[:50])  # the images were never trained


def test_the_same_seed_gives_the_same_weights_also_in_two_parts(data: Path, weights: Path, tmp_path: Path) -> None:
    settings = replace(ALIGNMENT, steps=3)
    align(data, weights, tmp_path / "one", settings)
    align(data, weights, tmp_path / "two", settings, stop_at=2)
    align(data, weights, tmp_path / "two", settings)
    one, two = (load_file(tmp_path / out / BEST) for out in ("one", "two"))
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []


def test_only_audio_and_text_change(data: Path, weights: Path, tmp_path: Path) -> None:
    align(data, weights, tmp_path, replace(ALIGNMENT, steps=3))
    before, after = load_model(weights).state_dict(), load_model(tmp_path / BEST).state_dict()
    changed = {
        name.split(".")[0] for name, value in before.items() if not torch.equal(value.half().float(), after[name])
    }
    assert changed == {"audio", "audio_query", "text_query"}


def test_weights_of_another_model_are_refused(data: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleCheckpoint, match="parameters of another model"):
        align(data, weights, tmp_path, ALIGNMENT, replace(CONFIG, embedding=64))
