"""The real command at a tiny size: killed, shared by two processes, out of room, and on to evaluation and export."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from made_pairs import write_table
from safetensors.torch import load_file
from small_model import write_small_checkpoint

from sat2sound.checkpoints import read_safetensors
from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.training.callbacks import BEST, LAST
from sat2sound.training.checkpoint_io import SafetensorsCheckpointIO

COMMAND = Path(sys.executable).parent / "sat2sound"
RECIPE = """
model = "small.json"

[pairs]
batch = 6
accumulate = 2
epochs = 3
learning_rate = 2e-3
restart_steps = 5
zoom_levels = [1]
frozen_batch_norm = true
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_table(folder / "data", val=12)
    config, _ = read_safetensors(write_small_checkpoint(folder / "small"))
    (folder / "small.json").write_text(config.to_json(), encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


def arguments(out: str, *more: str) -> list[str]:
    line = f"{COMMAND} train --config recipe.toml --data data --out {out} --threads 1 --accelerator cpu --save-every 1"
    return [*line.split(), *more]


def run(folder: Path, out: str, *more: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments(out, *more), cwd=folder, capture_output=True, text=True, timeout=120, check=False, **options
    )


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    done = run(folder, "whole", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["steps"], said["best"], said["last"]) == (6, f"whole/{BEST}", f"whole/{LAST}")
    assert 0.0 <= said["score"] <= 1.0
    assert "a batch fits" in done.stderr
    return folder / "whole"


def state(out: Path) -> dict[str, Any]:
    return SafetensorsCheckpointIO().load_checkpoint(out / LAST)


def differing(first: Any, second: Any, place: str = "") -> Iterator[str]:
    """Where two checkpoints differ, bit by bit."""
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for name, value in first.items():
            yield from differing(value, second[name], f"{place}/{name}")
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        for at, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from differing(one, other, f"{place}/{at}")
    elif isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if not torch.equal(first, second):
            yield place
    elif first != second:
        yield place


def test_killed_and_resumed_equals_uninterrupted(folder: Path, whole: Path) -> None:
    """Weights, optimizer, schedule, counters and best score, bit by bit."""
    process = subprocess.Popen(arguments("killed"), cwd=folder, stderr=subprocess.DEVNULL)
    last, deadline = folder / "killed" / LAST, time.monotonic() + 60
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert 0 < state(last.parent)["global_step"] < 6

    refused = run(folder, "killed")
    assert refused.returncode == ExitCode.INVALID
    assert "killed holds a training; go on with --resume, or give another --out" in refused.stderr

    done = run(folder, "killed", "--resume")
    assert done.returncode == 0, done.stderr
    assert "going on from killed" in done.stderr
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "batches", "global_step", "given")
    expected, found = state(whole), state(last.parent)
    assert {"exp_avg", "exp_avg_sq", "step"} <= set(next(iter(found["optimizer_states"][0]["state"].values())))
    assert list(differing({part: expected[part] for part in parts}, {part: found[part] for part in parts})) == []
    one, two = load_file(whole / BEST), load_file(last.parent / BEST)
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []
    # Steps are logged once before the kill or once after it; none is missing.
    steps = [int(row["step"]) for path in sorted((last.parent / "metrics").glob("*/metrics.csv")) for row in rows(path)]
    assert set(steps) >= set(range(6))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("train/total")]


def test_two_processes_compute_what_one_does(folder: Path) -> None:
    """After one step, the optimizer's mean gradient is a tenth of the gradient: it is that of the whole batch."""
    for out, devices in (("one", "1"), ("two", "2")):
        done = run(folder, out, "--devices", devices, "--steps", "1", "--validation-split", "none", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["steps"] == 1  # said once, not by each process
    one, two = state(folder / "one"), state(folder / "two")
    losses = [rows(folder / out / "metrics" / "000-start" / "metrics.csv") for out in ("one", "two")]
    assert float(losses[0][0]["train/total"]) == pytest.approx(float(losses[1][0]["train/total"]), rel=1e-5)
    compared = 0
    for index, moments in one["optimizer_states"][0]["state"].items():
        expected, found = moments["exp_avg"], two["optimizer_states"][0]["state"][index]["exp_avg"]
        scale = float(expected.abs().max())
        assert float((expected - found).abs().max()) <= 1e-4 * scale + 1e-9, index
        compared += scale > 1e-9
    assert compared > 50


def test_a_batch_that_processes_cannot_share_is_refused(folder: Path) -> None:
    done = run(folder, "odd", "--devices", "2", "--set", "pairs.batch=5", "--validation-split", "none")
    assert done.returncode == ExitCode.INVALID
    assert "a batch of 5 cannot be shared evenly by 2 processes" in done.stderr


def test_a_request_to_end_is_answered_between_two_steps(folder: Path) -> None:
    """SIGTERM, as Kubernetes and Slurm send it before they kill."""
    more = ("--set", "pairs.epochs=500", "--validation-split", "none", "--save-every", "100000")
    process = subprocess.Popen(arguments("ended", *more), cwd=folder, stderr=subprocess.PIPE, text=True)
    metrics, deadline = folder / "ended/metrics/000-start/metrics.csv", time.monotonic() + 60
    while not (metrics.exists() and len(rows(metrics)) > 1) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED, stderr
    assert "go on with --resume" in stderr
    assert state(folder / "ended")["global_step"] >= 1


def test_a_full_disk_leaves_the_previous_checkpoint(folder: Path, whole: Path) -> None:
    """A file system of 1.5 checkpoints, mounted if this machine lets us."""
    place = folder / "small-disk"
    place.mkdir()
    size = (whole / LAST).stat().st_size
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={int(1.5 * size)}", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root; test_pair_training has the same with a file size limit")
    try:
        more = ("--validation-split", "none")
        done = run(folder, "small-disk/out", *more)
        assert done.returncode == ExitCode.NO_ROOM, done.stderr
        assert "could not be written" in done.stderr
        assert "the previous one is as it was; to fix it, make room" in done.stderr
        assert state(place / "out")["global_step"] == 1
        assert not list((place / "out").glob(".*partial"))
        subprocess.run(["mount", "-o", f"remount,size={10 * size}", place], check=True)
        done = run(folder, "small-disk/out", "--resume", *more)
        assert done.returncode == 0, done.stderr
        assert state(place / "out")["global_step"] == 6
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_loss_that_is_not_finite_has_its_exit_code(folder: Path) -> None:
    done = run(folder, "diverged", "--set", "pairs.learning_rate=1e38", "--validation-split", "none")
    assert done.returncode == ExitCode.NOT_FINITE, done.stderr
    assert "the loss is not finite at step" in done.stderr
    assert "samples of the batch: train-" in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "pairs.bacth=8"], "unknown pairs.bacth (known: batch, accumulate"),
        (["--set", "pairs.batch=many"], "pairs.batch: Input should be a valid integer (found 'many')"),
        (["--set", "pairs"], "'pairs' is not NAME=VALUE"),
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--split", "dev"], "dev"),
        (["--validation-split", "test"], "test"),
        (["--set", "pairs.batch=100"], "24 samples do not fill 2 batches of 100"),
    ],
)
def test_wrong_settings_and_data_are_named(
    folder: Path, more: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sat2sound.clients.cli.main import app

    monkeypatch.chdir(folder)
    monkeypatch.setattr(os, "environ", {**os.environ, "COLUMNS": "400"})
    with pytest.raises(SystemExit) as ended:
        app(arguments("wrong", *more)[1:])
    assert ended.value.code == ExitCode.INVALID
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (folder / "wrong").exists()


def test_what_comes_out_is_evaluated_and_exported(folder: Path, whole: Path) -> None:
    found = after(folder, "evaluate", "--model", whole / BEST, "--data", "data", "--split", "val")
    pairs = [
        entry["recall_at_10_percent"]["value"]
        for entry in found["retrieval"]
        if entry["text"] == "none" and {entry["query"], entry["gallery"]} == {"image", "audio"}
    ]
    assert len(pairs) == 2
    assert sum(pairs) / 2 == pytest.approx(state(whole)["callbacks"]["checkpoints"]["best"])
    gallery = ("--gallery", "small/captions.csv")
    built = after(folder, "export", "--model", whole / BEST, *gallery, "--out", "repository")
    assert built["digest"]
    assert (folder / "repository/satellite_encoder/1/model.onnx").is_file()


def after(folder: Path, *words: str | Path) -> Any:
    done = subprocess.run(
        [COMMAND, *words, "--json"], cwd=folder, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
