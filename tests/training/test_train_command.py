"""The real command at a tiny size: killed, shared by two processes, out of room, and on to evaluation and export."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from made_pairs import write_table
from safetensors.torch import load_file
from small_model import write_small_checkpoint

from sat2sound.checkpoints import read_safetensors
from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.clients.cli.main import app
from sat2sound.data.opening import open_samples
from sat2sound.evaluation.library import LibraryBackend
from sat2sound.evaluation.report import evaluate
from sat2sound.models import Sat2Sound
from sat2sound.training.callbacks import BEST, LAST
from sat2sound.training.checkpoint_io import SafetensorsCheckpointIO

PATIENCE = 400  # seconds, on a machine with much else to do
COMMAND = Path(sys.executable).parent / "sat2sound"
RECIPE = """
[pairs]
batch = 6
accumulate = 2
epochs = 3
learning_rate = 2e-3
restart_steps = 5
zoom_levels = [1]
frozen_batch_norm = true
"""
NO_VALIDATION = ("--validation-split", "none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_table(folder / "data", val=12)
    config, _ = read_safetensors(write_small_checkpoint(folder / "small"))
    (folder / "small.json").write_text(config.to_json(), encoding="utf-8")
    (folder / "recipe.toml").write_text(f'model = "{folder / "small.json"}"\n{RECIPE}', encoding="utf-8")
    return folder


def arguments(folder: Path, out: str, *more: str) -> list[str]:
    options = {"--config": "recipe.toml", "--data": "data", "--out": out}
    paths = [word for option, name in options.items() for word in (option, str(folder / name))]
    return ["train", *paths, "--threads", "1", "--accelerator", "cpu", "--save-every", "1", *more]


def call(folder: Path, out: str, *more: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, within this process: it need not load torch again."""
    stdout, stderr = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended, redirect_stdout(stdout), redirect_stderr(stderr):
        app(arguments(folder, out, *more))
    return int(ended.value.code or 0), stdout.getvalue(), " ".join(stderr.getvalue().split())


def start(folder: Path, out: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *arguments(folder, out, *more)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a process wrote a file: minutes, if the machine is busy."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists(), process.communicate(timeout=1)


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    code, stdout, stderr = call(folder, "whole", "--json")
    assert code == 0, stderr
    said = json.loads(stdout)
    assert (said["steps"], said["best"], said["last"]) == (6, f"{folder}/whole/{BEST}", f"{folder}/whole/{LAST}")
    assert 0.0 <= said["score"] <= 1.0
    assert "a batch fits" in stderr
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


def logged(out: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted((out / "metrics").glob("*/metrics.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += [row for row in csv.DictReader(file) if row.get("train/total")]
    return rows


def test_killed_and_resumed_equals_uninterrupted(folder: Path, whole: Path) -> None:
    """Weights, optimizer, schedule, counters and best score, bit by bit."""
    process, out = start(folder, "killed"), folder / "killed"
    wait_for(out / LAST, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert 0 < state(out)["global_step"] < 6

    code, _, stderr = call(folder, "killed")
    assert code == ExitCode.INVALID
    assert "killed holds a training; go on with --resume, or give another --out" in stderr

    code, _, stderr = call(folder, "killed", "--resume")
    assert code == 0, stderr
    assert "going on from" in stderr
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "batches", "global_step", "given")
    expected, found = state(whole), state(out)
    assert {"exp_avg", "exp_avg_sq", "step"} <= set(next(iter(found["optimizer_states"][0]["state"].values())))
    assert list(differing({part: expected[part] for part in parts}, {part: found[part] for part in parts})) == []
    one, two = load_file(whole / BEST), load_file(out / BEST)
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []
    # The log has every step, some of them twice: those that were done after the last checkpoint.
    losses = {row["step"]: row["train/total"] for row in logged(whole)}
    assert {row["step"]: row["train/total"] for row in logged(out)} == losses


def test_two_processes_compute_what_one_does(folder: Path) -> None:
    """After one step, the optimizer's mean gradient is a tenth of the gradient: it is that of the whole batch."""
    # Without pseudo-positives: equal captions tie, and how products are rounded would decide which of them count.
    more = ("--steps", "1", "--set", "pairs.pseudo_positives=0.0", *NO_VALIDATION, "--json")
    process = start(folder, "two", "--devices", "2", *more)
    code, _, stderr = call(folder, "one", *more)
    assert code == 0, stderr
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["steps"] == 1  # said once, not by each process
    one, two = state(folder / "one"), state(folder / "two")
    losses = [float(logged(folder / out)[0]["train/total"]) for out in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    compared = 0
    for index, moments in one["optimizer_states"][0]["state"].items():
        expected, found = moments["exp_avg"], two["optimizer_states"][0]["state"][index]["exp_avg"]
        scale = float(expected.abs().max())
        assert float((expected - found).abs().max()) <= 1e-4 * scale + 1e-9, index
        compared += scale > 1e-9
    assert compared > 50


def test_a_request_to_end_is_answered_between_two_steps(folder: Path) -> None:
    """SIGTERM, as Kubernetes and Slurm send it before they kill."""
    process = start(folder, "ended", "--set", "pairs.epochs=500", *NO_VALIDATION, "--save-every", "100000")
    wait_for(folder / "ended/metrics/000-start/metrics.csv", process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.INTERRUPTED, stderr
    assert "go on with --resume" in stderr
    saved = state(folder / "ended")
    assert saved["batches"] == 2 * saved["global_step"] > 0


def test_a_full_disk_leaves_the_previous_checkpoint(folder: Path, whole: Path) -> None:
    """A file system of 1.5 checkpoints, mounted if this machine lets us."""
    place = folder / "small-disk"
    place.mkdir()
    size = (whole / LAST).stat().st_size
    mount = ["mount", "-t", "tmpfs", "-o", f"size={int(1.5 * size)}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root; test_pair_training has the same with a file size limit")
    try:
        code, _, stderr = call(folder, "small-disk/out", *NO_VALIDATION)
        assert code == ExitCode.NO_ROOM, stderr
        assert "could not be written" in stderr
        assert "the previous one is as it was; to fix it, make room" in stderr
        assert state(place / "out")["global_step"] == 1
        assert not list((place / "out").glob(".*partial"))
        subprocess.run(["mount", "-o", f"remount,size={10 * size}", place], check=True)
        code, _, stderr = call(folder, "small-disk/out", "--resume", *NO_VALIDATION)
        assert code == 0, stderr
        assert state(place / "out")["global_step"] == 6
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)  # log files of a failed run may be open


def test_a_loss_that_is_not_finite_has_its_exit_code(folder: Path) -> None:
    code, _, stderr = call(folder, "diverged", "--set", "pairs.learning_rate=1e30", *NO_VALIDATION)
    assert code == ExitCode.NOT_FINITE, stderr
    assert "the loss is not finite at step" in stderr
    assert "samples of the batch: train-" in stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "pairs.bacth=8"], "unknown pairs.bacth (known: batch, accumulate"),
        (["--set", "pairs.batch=many"], "pairs.batch: Input should be a valid integer (found 'many')"),
        (["--set", "pairs"], "is not NAME=VALUE"),
        (["--config", "publsihed"], "no recipe 'publsihed'"),
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--split", "test"], "test"),
        (["--validation-split", "test"], "test"),
        (["--set", "pairs.batch=100"], "24 samples do not fill 2 batches of 100"),
        (["--start-from", "nowhere.safetensors"], "nowhere.safetensors: not a readable safetensors file"),
    ],
)
def test_wrong_settings_and_data_are_named(folder: Path, more: list[str], said: str) -> None:
    code, _, stderr = call(folder, "wrong", *more)
    assert code == ExitCode.INVALID
    assert said in stderr
    assert not (folder / "wrong").exists()


def test_what_comes_out_is_evaluated_and_exported(folder: Path, whole: Path, tmp_path: Path) -> None:
    model = Sat2Sound.from_checkpoint(whole / BEST)
    report = evaluate(list(open_samples(folder / "data", "val")), LibraryBackend(model, "trained"), resamples=10)
    found = [
        result.figures.recall_at_10_percent.value
        for result in report.retrieval
        if result.protocol.text == "none" and {result.protocol.query, result.protocol.gallery} == {"image", "audio"}
    ]
    assert len(found) == 2
    assert sum(found) / 2 == pytest.approx(state(whole)["callbacks"]["checkpoints"]["best"])

    gallery, out = folder / "small/captions.csv", tmp_path / "repository"
    with pytest.raises(SystemExit) as ended:
        app(["export", "--model", str(whole / BEST), "--gallery", str(gallery), "--out", str(out), "--json"])
    assert ended.value.code == 0
    assert (out / "satellite_encoder/1/model.onnx").is_file()
