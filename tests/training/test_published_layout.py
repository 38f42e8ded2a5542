"""The published recipe's options on shards of the published layout: imagery and spectrograms by choice."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from published_shards import write_geosound
from small_model import write_small_checkpoint

from sat2sound.checkpoints import read_safetensors
from sat2sound.training.fitting import Machine, Run
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.recipe_file import RecipeFile
from sat2sound.training.run_recipe import Sources, train


def test_it_trains_on_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    config, _ = read_safetensors(write_small_checkpoint(tmp_path / "small"))
    data = write_geosound(tmp_path / "shards", train=6, validation=11)
    recipe = RecipeFile("small", PairRecipe(batch=3, epochs=1, zoom_levels=(1,), max_skipped=0.0))
    said: list[str] = []
    sources = Sources(str(data), satellite="bingmap", log_mels=True, config=config)
    done = train(recipe, sources, Run(tmp_path / "out", bar=False), Machine("cpu", threads=1), said.append)
    assert (done.steps, done.batches) == (2, 2)
    assert done.best is not None
    assert "6 samples to train on" in said
    assert not [line for line in said if line.startswith(("skipped", "warning"))]
