"""Training end to end at a tiny size: it learns, it is deterministic, and going on equals never having stopped."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from starter_folder import SCENES, SOUNDS, write_starter_folder

from sat2sound.checkpoints import load_model
from sat2sound.configs import AudioConfig, CodebookConfig, ModelConfig, SatelliteConfig, load_config
from sat2sound.errors import ConfigurationError, IncompatibleCheckpoint
from sat2sound.training.audio_warm_up import AudioWarmUp
from sat2sound.training.caption_files import CaptionFiles, read_caption_files
from sat2sound.training.loop import BEST, LAST, LOG, LossNotFinite, Trainer
from sat2sound.training.recipe import Phase, Recipe
from sat2sound.training.starter import make_trainer

TINY = dataclasses.replace(
    load_config("starter"),
    embedding=32,
    satellite=SatelliteConfig(type="aerial", width=32, depth=1, heads=2, stem="convolutional"),
    audio=AudioConfig(width=8, depths=(1, 1), heads=(2, 2), window=8, patch_size=16),
    codebook=CodebookConfig(size=64, temperature=20.0),
)
RECIPE = Recipe(
    audio_warm_up=AudioWarmUp(steps=2, batch=3),
    phases=(Phase(32, 2),),
    batch=12,
    recordings=3,
    audio_every=2,
    warm_up_steps=2,
    evaluate_every=1,
    learning_rate=2e-3,
)
ALL = read_caption_files()
# A few of them: their token states take most of the time.
FEW = CaptionFiles(
    scenes={scene: ALL.scenes[scene][3:6] for scene in SCENES},
    sounds={label: ALL.sounds[label][:2] for label, _ in SOUNDS.values()},
    held_out_scenes={scene: ALL.held_out_scenes[scene] for scene in SCENES},
    held_out_groups={},
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_starter_folder(tmp_path_factory.mktemp("data"))


def tiny(
    data: Path, out: Path, recipe: Recipe = RECIPE, config: ModelConfig = TINY, start_from: Sequence[Path] = ()
) -> Trainer:
    return make_trainer(data, out, recipe, config, FEW, start_from)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / LOG).open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_going_on_equals_never_having_stopped(data: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    tiny(data, whole).run()
    tiny(data, parts).run(until=3)  # one pass; six steps in all
    assert not torch.equal(
        load_file(whole / LAST)["model.codebook.concepts"], load_file(parts / LAST)["model.codebook.concepts"]
    )
    tiny(data, parts).run()
    expected, found = load_file(whole / LAST), load_file(parts / LAST)
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    assert rows(whole) == rows(parts)


def test_another_seed_gives_another_model(data: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        tiny(data, tmp_path / str(seed), dataclasses.replace(RECIPE, phases=(Phase(32, 1),), seed=seed)).run(until=1)
    first, second = (load_file(tmp_path / str(seed) / LAST)["model.codebook.concepts"] for seed in (0, 1))
    assert not torch.allclose(first, second)


def test_it_learns_to_tell_the_scenes_apart(data: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, phases=(Phase(32, 14),), mixing=0.0, drop_path=0.0, evaluate_every=14)
    tiny(data, tmp_path, recipe).run()
    log = rows(tmp_path)
    assert float(log[-1]["total"]) < 0.75 * float(log[0]["total"])
    assert float(log[-1]["satellite_image_caption"]) < float(log[0]["satellite_image_caption"])
    best = load_model(tmp_path / BEST)
    assert best.config == TINY
    assert not best.training


def test_another_recipe_in_the_same_folder_is_refused(data: Path, tmp_path: Path) -> None:
    tiny(data, tmp_path).run(until=1)
    with pytest.raises(ConfigurationError, match="of another recipe"):
        tiny(data, tmp_path, dataclasses.replace(RECIPE, seed=9))


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_harmed(data: Path, tmp_path: Path) -> None:
    trainer = tiny(data, tmp_path)
    with torch.no_grad():
        trainer.model.projector.linear1.weight[0, 0] = float("nan")
    before = trainer.model.codebook.concepts.clone()
    with pytest.raises(LossNotFinite, match=r"loss is nan at step 0; images of the batch: \(\d+, "):
        trainer.run()
    assert torch.equal(trainer.model.codebook.concepts, before)


def test_starting_from_weights(data: Path, tmp_path: Path) -> None:
    concepts = torch.full((64, 32), 0.5)
    save_file({"codebook.concepts": concepts}, tmp_path / "some.safetensors")
    assert torch.equal(
        tiny(data, tmp_path, start_from=[tmp_path / "some.safetensors"]).model.codebook.concepts, concepts
    )
    save_file({"codebook.concepts": torch.zeros(3, 3), "other": torch.zeros(1)}, tmp_path / "misfit.safetensors")
    with pytest.raises(IncompatibleCheckpoint, match=r"codebook\.concepts, other"):
        tiny(data, tmp_path, start_from=[tmp_path / "misfit.safetensors"])
