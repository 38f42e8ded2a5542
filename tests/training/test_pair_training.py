"""The published recipe at a tiny size with Lightning: it learns, and going on equals never having stopped."""

from __future__ import annotations

import csv
import dataclasses
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_pairs import MadePairs
from safetensors.torch import load_file
from small_model import write_small_checkpoint

from sat2sound.checkpoints import read_safetensors
from sat2sound.configs import ModelConfig
from sat2sound.data.passes import TableSource
from sat2sound.errors import ConfigurationError, DatasetError
from sat2sound.models import Sat2Sound
from sat2sound.training.callbacks import BEST, LAST
from sat2sound.training.checkpoint_io import SafetensorsCheckpointIO
from sat2sound.training.errors import CheckpointNotWritten, DoesNotFit, LossNotFinite
from sat2sound.training.fit_check import FitCheck
from sat2sound.training.fitting import Machine, Outcome, Run, fit
from sat2sound.training.losses import sat2sound_loss
from sat2sound.training.optimisation import Optimisation
from sat2sound.training.pair_batches import PairBatch, PairBatches
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.pair_task import PairTask

RECIPE = PairRecipe(batch=6, accumulate=2, epochs=3, learning_rate=2e-3, restart_steps=5, zoom_levels=(1,))
CPU = Machine(accelerator="cpu", threads=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    config, _ = read_safetensors(write_small_checkpoint(tmp_path_factory.mktemp("small")))
    return config


def make_task(config: ModelConfig, recipe: PairRecipe = RECIPE, samples: Any = None, seed: int = 0) -> PairTask:
    torch.manual_seed(seed)
    return PairTask(
        Sat2Sound.from_config(config), TableSource(samples or MadePairs()), recipe, lambda: MadePairs(9, seed=5)
    )


def optimisation(task: PairTask) -> Optimisation:
    recipe = task.recipe
    return Optimisation(
        steps=task.steps_per_epoch // recipe.accumulate * recipe.epochs,
        learning_rate=recipe.learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        gradient_norm=recipe.gradient_norm,
        accumulate=recipe.accumulate,
        restart_steps=recipe.restart_steps,
    )


def run_task(
    task: PairTask, out: Path, said: list[str] | None = None, machine: Machine = CPU, **options: Any
) -> Outcome:
    settings = {"resume": True, "bar": False, **options}
    run = Run(out, description=str(task.recipe), seed=0, save_every=1, **settings)
    return fit(task, optimisation(task), run, machine, (said if said is not None else []).append)


def weights(out: Path) -> dict[str, torch.Tensor]:
    state = SafetensorsCheckpointIO().load_checkpoint(out / LAST)
    tensors: dict[str, torch.Tensor] = state["state_dict"]
    return tensors


def logged(out: Path) -> list[dict[str, str]]:
    with next((out / "metrics").glob("*/metrics.csv")).open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("train/total")]


def test_going_on_anywhere_equals_never_having_stopped(small: ModelConfig, tmp_path: Path) -> None:
    run_task(make_task(small), tmp_path / "whole")
    for stop in (1, 4):  # within a pass, at the end of one
        out = tmp_path / f"stopped-{stop}"
        run_task(make_task(small), out, stop_at=stop)
        assert SafetensorsCheckpointIO().load_checkpoint(out / LAST)["global_step"] == stop
        outcome = run_task(make_task(small, seed=9), out)  # other weights to begin with: all come from the checkpoint
        assert outcome.batches == 12
        expected, found = weights(tmp_path / "whole"), weights(out)
        assert expected.keys() == found.keys()
        assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == [], stop
        one, two = (load_file(folder / BEST) for folder in (tmp_path / "whole", out))
        assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []


def test_it_learns_to_pair(small: ModelConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = dataclasses.replace(RECIPE, accumulate=1, epochs=8, metadata_drop=0.0, spec_augment=0.0)
    said: list[str] = []
    run_task(make_task(small, recipe), tmp_path, said, validate_every=4, bar=True)
    captured = capsys.readouterr()
    assert "step 32/32" in captured.err
    assert "step" not in captured.out
    losses = [float(row["train/total"]) for row in logged(tmp_path)]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    assert any(path.name.startswith("events.out.tfevents") for path in (tmp_path / "tensorboard").rglob("*"))
    assert sum("image_to_audio_r10p" in line for line in said) == 2
    assert Sat2Sound.from_checkpoint(tmp_path / BEST).config == small


def test_the_loss_is_the_published_one(small: ModelConfig) -> None:
    samples = MadePairs(20)
    task = make_task(small, dataclasses.replace(RECIPE, batch=4), samples)
    model = task.model.eval()
    batch = task.batch(0, 0, 1)
    assert bool(batch.audio_captions[2].all())
    losses = task.losses(batch, 0, lambda rows: rows)
    raw = [
        model.raw_satellite(model.encode_satellite(batch.pixels, batch.conditions)),
        model.raw_audio(model.encode_audio(batch.log_mels)),
        *(
            model.raw_text(model.encode_text(*parts[:2]), parts[1])
            for parts in (batch.audio_captions, batch.image_captions)
        ),
    ]
    expected = sat2sound_loss(raw[0], raw[1], raw[2], raw[3], dict(model.logit_scales.items()))
    known = batch.image_captions[2]
    assert torch.allclose(losses["satellite_audio_with_caption"], expected.satellite_audio_with_caption)
    if bool(known.all()):
        assert torch.allclose(losses["total"], expected.total)
    else:
        rows = [part[known] for part in raw]
        some = sat2sound_loss(rows[0], rows[1], rows[2], rows[3], dict(model.logit_scales.items()))
        assert torch.allclose(losses["satellite_image_caption"], some.satellite_image_caption)


def test_accumulated_gradients_are_the_mean_of_the_batches(small: ModelConfig, tmp_path: Path) -> None:
    """After one step, the optimizer's mean gradient is a tenth of the gradient that it was given."""
    # Without pseudo-positives: equal captions tie, and how products are rounded would decide which of them count.
    recipe = dataclasses.replace(RECIPE, gradient_norm=1e9, pseudo_positives=0.0)
    task = make_task(small, recipe)
    by_hand = make_task(small, recipe)
    by_hand.model.train()
    threads = torch.get_num_threads()
    torch.set_num_threads(CPU.threads)  # else sums are rounded otherwise, and sparsemax may choose other concepts
    for index in range(recipe.accumulate):
        torch.manual_seed(int(np.random.default_rng([0, 5, index, 0]).integers(2**62)))
        (by_hand.losses(by_hand.batch(index, 0, 1), index, lambda rows: rows)["total"] / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    expected = {name: value.grad for name, value in by_hand.model.named_parameters() if value.grad is not None}
    run_task(task, tmp_path, stop_at=1, resume=False)
    state = SafetensorsCheckpointIO().load_checkpoint(tmp_path / LAST)["optimizer_states"][0]
    moments = [entry["exp_avg"] for _, entry in sorted(state["state"].items())]
    found = sorted(float(moment.norm()) for moment in moments if float(moment.norm()) > 1e-9)
    wanted = sorted(0.1 * float(value.norm()) for value in expected.values() if 0.1 * float(value.norm()) > 1e-9)
    assert len(found) == len(wanted) > 50
    assert found == pytest.approx(wanted, rel=1e-3)


def test_parts_of_a_batch_are_the_batch(small: ModelConfig) -> None:
    """What two processes see is what one would see, drawn alike."""
    batches = PairBatches(TableSource(MadePairs()), small, RECIPE)
    whole, parts = batches.make(3), [batches.make(3, rank, 2) for rank in (0, 1)]
    assert whole.names == (*parts[0].names, *parts[1].names)
    assert torch.equal(whole.pixels, torch.cat([part.pixels for part in parts]))
    assert torch.equal(whole.log_mels, torch.cat([part.log_mels for part in parts]))
    assert torch.equal(
        torch.nan_to_num(whole.conditions), torch.nan_to_num(torch.cat([part.conditions for part in parts]))
    )
    names = [name for index in range(batches.per_epoch) for name in batches.make(index).names]
    assert sorted(names) == sorted(f"sample-{index}" for index in range(24))


def test_metadata_is_left_out_as_often_as_asked(small: ModelConfig) -> None:
    def known(share: float) -> float:
        batches = PairBatches(TableSource(MadePairs()), small, dataclasses.replace(RECIPE, metadata_drop=share))
        conditions = torch.cat([batches.make(index).conditions for index in range(8)])
        return float((~torch.isnan(conditions[:, [1, 3]])).float().mean())

    assert known(0.0) == 1.0
    assert known(1.0) == 0.0
    assert 0.3 < known(0.5) < 0.7


def test_a_few_damaged_files_are_replaced_and_listed(small: ModelConfig, tmp_path: Path) -> None:
    said: list[str] = []
    task = make_task(small, dataclasses.replace(RECIPE, epochs=1), MadePairs(bad=frozenset({7})))
    run_task(task, tmp_path, said, max_skipped=0.2)
    assert any("image of sample-7" in line for line in said)
    bad = make_task(small, dataclasses.replace(RECIPE, epochs=1), MadePairs(bad=frozenset({7, 9})))
    with pytest.raises(DatasetError, match=r"\d of \d+ image entries cannot be used"):
        run_task(bad, tmp_path / "two", max_skipped=0.02)
    with pytest.raises(DatasetError, match="20 samples in a row cannot be used"):
        PairBatches(TableSource(MadePairs(bad=frozenset(range(24)))), small, RECIPE).make(0)
    with pytest.raises(DatasetError, match="3 samples do not fill 2 batches of 6"):
        PairBatches(TableSource(MadePairs(3)), small, RECIPE)


def test_without_captions_the_other_terms_train(small: ModelConfig, tmp_path: Path) -> None:
    said: list[str] = []
    task = make_task(small, dataclasses.replace(RECIPE, epochs=1), MadePairs(captions=False))
    run_task(task, tmp_path, said)
    assert sum(line.startswith("warning: no sample has an ") for line in said) == 2
    for row in logged(tmp_path):
        assert float(row["train/total"]) == pytest.approx(float(row["train/satellite_audio"]) / 3, rel=1e-5)
        assert float(row["train/satellite_image_caption"]) == 0.0


def test_processes_that_make_batches_change_nothing(small: ModelConfig, tmp_path: Path) -> None:
    for workers in (0, 2):
        machine = dataclasses.replace(CPU, workers=workers)
        run_task(make_task(small), tmp_path / str(workers), machine=machine, stop_at=2)
    alone, helped = weights(tmp_path / "0"), weights(tmp_path / "2")
    assert [name for name, value in alone.items() if not torch.equal(value, helped[name])] == []


def test_half_precision_keeps_what_needs_float32(small: ModelConfig, tmp_path: Path) -> None:
    for precision in ("32-true", "bf16-mixed"):
        machine = dataclasses.replace(CPU, precision=precision)
        run_task(make_task(small), tmp_path / precision, machine=machine, stop_at=1)
    full, half = (float(logged(tmp_path / name)[0]["train/total"]) for name in ("32-true", "bf16-mixed"))
    assert half != full
    assert half == pytest.approx(full, rel=0.05)
    assert {value.dtype for value in weights(tmp_path / "bf16-mixed").values() if value.is_floating_point()} == {
        torch.float32
    }


class TooLarge(PairTask):
    """Its largest batch takes more than any machine has."""

    def largest_batch(self, rank: int, processes: int) -> PairBatch:
        whole = super().largest_batch(rank, processes)
        assert whole.audio_captions[0].shape == (6, 16)  # the longest that the text encoder takes
        return dataclasses.replace(whole, log_mels=torch.empty(2**48))


def test_a_batch_that_does_not_fit_is_seen_before_the_first_step(small: ModelConfig, tmp_path: Path) -> None:
    with pytest.raises(DoesNotFit, match=r"does not fit into the memory of cpu .*lower `batch` and raise `accumulate`"):
        run_task(TooLarge(Sat2Sound.from_config(small), TableSource(MadePairs()), RECIPE), tmp_path)
    assert not (tmp_path / LAST).exists()


def test_the_check_leaves_nothing_behind(small: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and batch norm's statistics after one step are those of a step without the check."""
    run_task(make_task(small), tmp_path / "checked", stop_at=1)
    monkeypatch.setattr(FitCheck, "on_train_start", lambda *_: None)
    run_task(make_task(small), tmp_path / "unchecked", stop_at=1)
    one, two = weights(tmp_path / "checked"), weights(tmp_path / "unchecked")
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []


def test_a_loss_that_is_not_finite_names_step_and_samples(small: ModelConfig, tmp_path: Path) -> None:
    task = make_task(small)
    with torch.no_grad():
        task.model.projector.linear1.weight[0, 0] = float("nan")
    before = task.model.codebook.concepts.clone()
    with pytest.raises(LossNotFinite, match=r"not finite at step 0: .*total nan; samples of the batch: sample-\d+, "):
        run_task(task, tmp_path)
    assert torch.equal(task.model.codebook.concepts, before)
    assert not (tmp_path / LAST).exists()


def test_another_recipe_in_the_same_folder_is_refused(small: ModelConfig, tmp_path: Path) -> None:
    run_task(make_task(small), tmp_path, stop_at=1)
    with pytest.raises(ConfigurationError, match="of another training: it was begun with"):
        run_task(make_task(small, dataclasses.replace(RECIPE, learning_rate=1.0)), tmp_path)


def test_a_full_disk_leaves_the_previous_checkpoint(small: ModelConfig, tmp_path: Path) -> None:
    run_task(make_task(small), tmp_path, stop_at=2)
    before = (tmp_path / LAST).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))  # writing more fails, as on a full disk
    try:
        with pytest.raises(CheckpointNotWritten, match="the previous one is as it was; to fix it, make room"):
            run_task(make_task(small), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / LAST).read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))
    outcome = run_task(make_task(small), tmp_path)  # with room again, it goes on
    assert outcome.batches == 12
