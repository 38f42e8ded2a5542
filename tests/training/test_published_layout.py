"""The published recipe on shards of the published layout: copied first, or streamed from a hub; imagery by choice."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import torch
from local_hub import LocalHub
from small_model import write_small_checkpoint

from sat2sound.checkpoints import read_safetensors
from sat2sound.configs import ModelConfig
from sat2sound.errors import ConfigurationError
from sat2sound.training.callbacks import LAST
from sat2sound.training.checkpoint_io import SafetensorsCheckpointIO
from sat2sound.training.fitting import Machine, Outcome, Run
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.recipe_file import RecipeFile
from sat2sound.training.run_recipe import Sources, train

RECIPE = RecipeFile("small", PairRecipe(batch=6, epochs=2, zoom_levels=(1,), max_skipped=0.0, validation_samples=12))
STREAMED = 5  # samples among which the order is random


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    config, _ = read_safetensors(write_small_checkpoint(tmp_path_factory.mktemp("small")))
    return config


def run(
    config: ModelConfig,
    data: Path | str,
    out: Path,
    *,
    stream: int | None = STREAMED,
    workers: int = 0,
    validation: str | None = None,
    **options: object,
) -> tuple[Outcome, list[str]]:
    said: list[str] = []
    sources = Sources(
        str(data), satellite="bingmap", log_mels=True, config=config, stream=stream, validation=validation
    )
    place = Run(out, save_every=1, bar=False, **options)  # type: ignore[arg-type]
    done = train(RECIPE, sources, place, Machine("cpu", threads=1, workers=workers), said.append)
    assert not [line for line in said if line.startswith(("skipped", "warning"))]
    return done, said


def weights(out: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = SafetensorsCheckpointIO().load_checkpoint(out / LAST)["state_dict"]
    return tensors


def test_it_trains_on_a_copy(
    small: ModelConfig, published: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    done, said = run(small, published["MVRL/GeoSound"], tmp_path / "out", stream=None, validation="val", stop_at=4)
    assert (done.steps, done.batches) == (4, 4)
    assert done.best is not None
    assert "24 samples to train on" in said


def test_a_stream_that_goes_on_equals_one_that_never_stopped(
    small: ModelConfig, hub: LocalHub, published: dict[str, Path], tmp_path: Path
) -> None:
    done, said = run(small, "MVRL/GeoSound", tmp_path / "whole", validation="validation")
    assert (done.steps, done.batches) == (8, 8)
    assert done.best is not None
    assert "24 samples to train on" in said
    run(small, "MVRL/GeoSound", tmp_path / "stopped", stop_at=3)
    assert SafetensorsCheckpointIO().load_checkpoint(tmp_path / "stopped" / LAST)["global_step"] == 3
    # It goes on from a copy of the shards: where they are makes no difference.
    run(small, published["MVRL/GeoSound"], tmp_path / "stopped", resume=True)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    assert {path.split("-")[0] for path, *_ in hub.reads} == {"data/train", "data/validation"}

    with pytest.raises(ConfigurationError, match=r"another training: stream.samples was 5, is 6; stream.workers was 0"):
        run(small, published["MVRL/GeoSound"], tmp_path / "stopped", resume=True, stream=6, workers=1)


def test_workers_stream_rows_of_their_own(small: ModelConfig, hub: LocalHub, tmp_path: Path) -> None:
    """The same twice, though two processes read; and not what one would have read."""
    for name in ("first", "second"):
        run(small, "MVRL/GeoSound", tmp_path / name, workers=2, stop_at=2)
    run(small, "MVRL/GeoSound", tmp_path / "alone", stop_at=2)
    first, second, alone = (weights(tmp_path / name) for name in ("first", "second", "alone"))
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []
    assert [name for name, value in first.items() if not torch.equal(value, alone[name])] != []
