"""docs/training.md: its commands run, its recipe and its table are read, its numbers are the code's."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path

from local_hub import LocalHub
from made_pairs import write_table
from shared_data import ROOT
from small_model import write_small_checkpoint
from typer.testing import CliRunner, Result

from sat2sound.checkpoints import read_safetensors
from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.clients.cli.main import app
from sat2sound.clients.cli.train import train
from sat2sound.data.skipped import MAX_SKIPPED_SHARE
from sat2sound.data.stream_order import WINDOW
from sat2sound.training import pair_batches
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.recipe_file import load_recipe, recipe_names

TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def run(command: str) -> Result:
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    return done


def test_commands_run(tmp_path: Path, hub: LocalHub) -> None:
    data, out = write_table(tmp_path / "data", val=12), tmp_path / "out"
    config, _ = read_safetensors(write_small_checkpoint(tmp_path / "small"))
    (tmp_path / "small.json").write_text(config.to_json(), encoding="utf-8")
    model = f"model={tmp_path / 'small.json'}"
    tiny = "--set pairs.batch=6 --set pairs.epochs=1"
    begin, resume, judge, stream = [line for block in blocks("sh") for line in block.splitlines()]
    for command in (begin, resume, judge):
        told = command.replace("--set pairs.batch=64", tiny).replace("model=starter", model)
        done = run(told.replace("my-places", str(data)).replace("build/mine", str(out)))
    assert json.loads(done.stdout)["retrieval"][0]["n"] == 12
    found = {path.name for path in out.iterdir()}
    assert found == {"best.safetensors", "last.safetensors", "metrics", "tensorboard"}
    assert all(f"`{name}" in TEXT for name in found)

    told = stream.replace("--workers 8", "--workers 1").replace("build/bingmap", str(tmp_path / "streamed"))
    assert "4 steps" in run(f"{told} {tiny} --set {model} --accelerator cpu").stderr
    assert {path.split("-")[0] for path, *_ in hub.reads} == {"data/train", "data/validation"}


def test_the_recipe_is_the_published_one(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    (tmp_path / "recipe.toml").write_text(block, encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.toml") == load_recipe("published")
    assert all(f"`{name}`" in TEXT for name in recipe_names())
    default = PairRecipe()
    assert f"every {default.restart_steps:,} steps, batch {default.batch}, gradient norm {default.gradient_norm}" in (
        " ".join(TEXT.split()).replace("restarts every", "every")
    )


def test_numbers_and_exit_codes() -> None:
    assert f"`max_skipped` ({MAX_SKIPPED_SHARE:.0%}".replace("%", " %") in TEXT
    assert f"{pair_batches._SUBSTITUTES} in a row" in TEXT
    assert f"`--shuffle-buffer` ({WINDOW})" in TEXT
    assert inspect.signature(train).parameters["shuffle_buffer"].default == WINDOW
    named = {int(code) for code in re.findall(r"exit code (\d+)", TEXT)}
    assert named == {ExitCode.INVALID, ExitCode.NOT_FINITE, ExitCode.NO_ROOM, ExitCode.INTERRUPTED}
