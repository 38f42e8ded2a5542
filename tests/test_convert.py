"""Published checkpoint -> safetensors -> published checkpoint, without loss, within the promised memory."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from parity import main as parity
from shared_data import shared_folder

from sat2sound.checkpoints import STARTER, read_safetensors, save_safetensors
from sat2sound.convert import convert
from sat2sound.errors import CheckpointError, IncompatibleCheckpoint
from sat2sound.models import Sat2Sound
from sat2sound.pickles import load_lightning

_PEAK = """
import resource, sys
from sat2sound.models import Sat2Sound
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Sat2Sound.from_checkpoint(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import json

    from parity_checkpoint import write_checkpoint

    manifest = json.loads(shared_folder("parity", "manifest.json").read_text())
    path = tmp_path_factory.mktemp("published") / "bingmap_withmeta.ckpt"
    write_checkpoint(path, manifest)
    return path


def test_there_and_back(published: Path, tmp_path: Path) -> None:
    safe, again = tmp_path / "model.safetensors", tmp_path / "again.ckpt"
    convert(published, safe)
    convert(safe, again)
    first, second = (torch.load(path, weights_only=True) for path in (published, again))
    assert first["hyper_parameters"] == second["hyper_parameters"]
    assert len(second["state_dict"]) > 350
    for name, value in second["state_dict"].items():
        assert torch.equal(value, first["state_dict"][name]), name
    with pytest.raises(CheckpointError, match="cannot be converted"):
        convert(published, tmp_path / "model.onnx")


def test_hyper_parameters_of_any_kind_come_back(published: Path, tmp_path: Path) -> None:
    given = torch.load(published, weights_only=True, mmap=True)
    known = argparse.Namespace(
        sat_type="sentinel", metadata_type=("latlong", "month"), data=Path("/data"), sizes={1: 2}
    )
    parts = ("audio_source_fc", "caption_source_fc", "time_fc")
    state = {name: value for name, value in given["state_dict"].items() if not any(part in name for part in parts)}
    source, safe, again = (tmp_path / name for name in ("in.ckpt", "out.safetensors", "again.ckpt"))
    torch.save({"state_dict": state, "hyper_parameters": {"args": known, "noise": torch.ones(1)}}, source)
    assert convert(source, safe).not_kept == ("hyper_parameters.noise (Tensor)",)
    assert convert(safe, again).not_kept == ()
    assert load_lightning(again)["hyper_parameters"] == {"args": known, "noise": None}
    assert Sat2Sound.from_checkpoint(again).config == Sat2Sound.from_checkpoint(source).config


def test_a_model_without_a_published_layout_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleCheckpoint, match=r"no published layout .*'aerial'.*keep it as \.safetensors"):
        convert("starter", tmp_path / "starter.ckpt")
    config, state = read_safetensors(STARTER)
    config = dataclasses.replace(config, satellite=dataclasses.replace(config.satellite, type="bingmap"))
    save_safetensors(tmp_path / "small.safetensors", config, state)
    with pytest.raises(IncompatibleCheckpoint, match=r"no published layout \(its .*satellite.* differ"):
        convert(tmp_path / "small.safetensors", tmp_path / "small.ckpt")
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_loading_takes_at_most_twice_the_file(published: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    """Of a float16 file, the float32 model alone is twice the file: one tensor at a time comes on top."""
    given = torch.load(published, weights_only=True, mmap=True)
    weights = given["state_dict"].items()
    state = {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights}
    path = tmp_path / "model.ckpt"
    torch.save({**given, "state_dict": state}, path)
    answer = subprocess.run([sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True)
    assert int(answer.stdout) <= 2.1 * path.stat().st_size


def test_parity_with_the_published_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    code = parity([str(shared_folder("parity"))])
    assert code == 0, capsys.readouterr().out
