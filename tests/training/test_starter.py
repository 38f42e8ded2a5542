"""Training end to end at a tiny size: it learns, it is deterministic, and going on equals never having stopped."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from starter_folder import SCENES, SOUNDS, write_starter_folder

from sat2sound.checkpoints import load_model
from sat2sound.configs import AudioConfig, CodebookConfig, SatelliteConfig, load_config
from sat2sound.errors import ConfigurationError, IncompatibleCheckpoint
from sat2sound.models import Sat2Sound
from sat2sound.training.audio_warm_up import AudioWarmUp
from sat2sound.training.callbacks import BEST, LAST
from sat2sound.training.caption_files import CaptionFiles, read_caption_files
from sat2sound.training.checkpoint_io import SafetensorsCheckpointIO
from sat2sound.training.errors import LossNotFinite
from sat2sound.training.fitting import Machine, Outcome, Run
from sat2sound.training.recipe import Phase, Recipe
from sat2sound.training.recipe_file import RecipeFile
from sat2sound.training.run_recipe import Sources, train
from sat2sound.training.start_weights import start

TINY = dataclasses.replace(
    load_config("starter"),
    embedding=32,
    satellite=SatelliteConfig(type="aerial", width=32, depth=1, heads=2, stem="convolutional"),
    audio=AudioConfig(width=8, depths=(1, 1), heads=(2, 2), window=8, patch_size=16),
    codebook=CodebookConfig(size=64, temperature=20.0),
)
RECIPE = Recipe(
    audio_warm_up=AudioWarmUp(steps=2, batch=3),
    label_phases=(Phase(32, 1),),
    phases=(Phase(32, 1),),
    batch=12,
    recordings=3,
    audio_every=2,
    warm_up_steps=2,
    evaluate_every=1,
    label_learning_rate=2e-3,
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


def tiny(data: Path, out: Path, recipe: Recipe = RECIPE, start_from: tuple[Path, ...] = (), **options: Any) -> Outcome:
    sources = Sources(data, start_from=start_from, config=TINY, captions=FEW)
    run = Run(out, bar=False, resume=True, **options)
    return train(RecipeFile("starter", scenes=recipe), sources, run, Machine("cpu", threads=1), lambda _: None)


def weights(out: Path) -> dict[str, torch.Tensor]:
    """Of the model, its moving average, and the classifiers that are thrown away."""
    found: dict[str, torch.Tensor] = SafetensorsCheckpointIO().load_checkpoint(out / LAST)["state_dict"]
    return found


def log(out: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted((out / "metrics").glob("*/metrics.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
    return rows


def test_going_on_equals_never_having_stopped(data: Path, tmp_path: Path) -> None:
    """The audio encoder's warm-up, the moving average and the best score too."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    tiny(data, whole)
    assert tiny(data, parts, stop_at=2).steps == 2  # within the pass of labels; there are two passes of three steps
    assert tiny(data, parts, stop_at=4).steps == 4  # within the other one
    tiny(data, parts)
    expected, found = weights(whole), weights(parts)
    assert {name.split(".")[1] for name in expected} == {"model", "average", "classifiers"}
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    losses = {row["step"]: row["train/total"] for row in log(whole) if "train/total" in row}
    assert len(losses) == 6
    assert {row["step"]: row["train/total"] for row in log(parts) if "train/total" in row} == losses
    one, two = load_file(whole / BEST), load_file(parts / BEST)
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []
    assert {value.dtype for value in one.values() if value.is_floating_point()} == {torch.float16}


def test_another_seed_gives_another_model(data: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        recipe = dataclasses.replace(RECIPE, audio_warm_up=AudioWarmUp(steps=0), seed=seed)
        tiny(data, tmp_path / str(seed), recipe, stop_at=1)
    name = "module.model.codebook.concepts"
    assert not torch.allclose(weights(tmp_path / "0")[name], weights(tmp_path / "1")[name])


def test_it_learns_to_tell_the_scenes_apart(data: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        RECIPE, label_phases=(), phases=(Phase(32, 14),), mixing=0.0, drop_path=0.0, evaluate_every=14
    )
    done = tiny(data, tmp_path, recipe)
    rows = [row for row in log(tmp_path) if "train/total" in row]
    first, last = rows[:3], rows[-3:]
    for term, share in (("train/total", 0.75), ("train/satellite_image_caption", 1.0)):
        assert sum(float(row[term]) for row in last) < share * sum(float(row[term]) for row in first)
    figures = [row for row in log(tmp_path) if "validation/scene_top1" in row]
    assert float(figures[-1]["validation/score"]) == pytest.approx(done.score)
    best = load_model(tmp_path / BEST)
    assert best.config == TINY
    assert not best.training


def test_labels_come_first_and_move_the_image_encoder_only(data: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, label_phases=(Phase(32, 12),), mixing=0.0, drop_path=0.0, evaluate_every=99)
    tiny(data, tmp_path, recipe, stop_at=1)
    before = weights(tmp_path)
    tiny(data, tmp_path, recipe, stop_at=36)
    moved = {name.split(".")[2] for name, value in weights(tmp_path).items() if not torch.equal(value, before[name])}
    assert moved == {"satellite", "projector", "image"}
    rows = [row for row in log(tmp_path) if "train/total" in row]
    assert all(row["train/total"] == row["train/auxiliary"] for row in rows)
    assert not any("train/satellite_image_caption" in row for row in rows)
    losses = [float(row["train/total"]) for row in rows]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    tiny(data, tmp_path, recipe)
    assert sum("train/satellite_image_caption" in row for row in log(tmp_path)) == 3


def test_another_recipe_in_the_same_folder_is_refused(data: Path, tmp_path: Path) -> None:
    tiny(data, tmp_path, dataclasses.replace(RECIPE, audio_warm_up=AudioWarmUp(steps=0)), stop_at=1)
    with pytest.raises(ConfigurationError, match="of another training: "):
        tiny(data, tmp_path, dataclasses.replace(RECIPE, seed=9))


def test_a_loss_that_is_not_finite_names_the_images(data: Path, tmp_path: Path) -> None:
    model = Sat2Sound.from_config(TINY)
    save_file({"projector.linear1.weight": model.projector.linear1.weight * float("nan")}, tmp_path / "bad.safetensors")
    with pytest.raises(LossNotFinite, match=r"not finite at step 0: .* nan; samples of the batch: \w+ \(row \d+\),"):
        tiny(data, tmp_path, start_from=(tmp_path / "bad.safetensors",))
    assert not (tmp_path / LAST).exists()


def test_starting_from_weights(tmp_path: Path) -> None:
    concepts = torch.full((64, 32), 0.5)
    save_file({"codebook.concepts": concepts}, tmp_path / "some.safetensors")
    model = Sat2Sound.from_config(TINY)
    start(model, tmp_path / "some.safetensors")
    assert torch.equal(model.codebook.concepts, concepts)
    save_file({"codebook.concepts": torch.zeros(3, 3), "other": torch.zeros(1)}, tmp_path / "misfit.safetensors")
    with pytest.raises(IncompatibleCheckpoint, match=r"codebook\.concepts, other"):
        start(model, tmp_path / "misfit.safetensors")
