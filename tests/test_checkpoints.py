"""Loading checkpoints: published layout, safetensors, and files that are none of it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from sat2sound import published
from sat2sound.checkpoints import load_model, read_safetensors, save_safetensors
from sat2sound.configs import load_config
from sat2sound.errors import CheckpointError, CorruptCheckpoint, IncompatibleCheckpoint, UnsafeCheckpoint
from sat2sound.hyperparameters import derive_config
from sat2sound.models import Sat2Sound
from sat2sound.pickles import load_lightning


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = Sat2Sound.from_config("starter")
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_safetensors(path, model.config, model.state_dict(), half=True)
    return path


def test_safetensors_round_trip_in_half_precision(starter: Path) -> None:
    model = load_model(starter)
    config, state = read_safetensors(starter)
    assert config == load_config("starter")
    assert not model.training
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, state[name].float(), atol=0, rtol=0)


@pytest.mark.parametrize("spoil", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, starter: Path, spoil: float) -> None:
    config, state = read_safetensors(starter)
    state["codebook.concepts"][3, 5] = spoil
    save_safetensors(tmp_path / "diverged.safetensors", config, state)
    with pytest.raises(CorruptCheckpoint, match=r"1 parameters hold NaN or infinite values: codebook\.concepts"):
        load_model(tmp_path / "diverged.safetensors")


def test_every_published_name_maps_and_back() -> None:
    with torch.device("meta"):
        names = list(Sat2Sound.from_config("bingmap-withmeta").state_dict())
    for name in names:
        assert published.to_library(published.to_published(name)) == name


@pytest.mark.parametrize(
    ("hyper_parameters", "name", "parts"),
    [
        ({"sat_type": "bingmap", "metadata_type": "none"}, "bingmap-nometa", 0),
        ({"sat_type": "sentinel", "metadata_type": "latlong_month_time_asource_tsource"}, "sentinel-withmeta", 5),
        ({"sat_type": "googleEarth", "metadata_type": ["caption_source", "latlong"]}, "soundingearth-withmeta", 2),
    ],
)
def test_configuration_follows_hyper_parameters(hyper_parameters: dict[str, Any], name: str, parts: int) -> None:
    config = derive_config(Path("x.ckpt"), hyper_parameters)
    assert config.name == name
    assert len(config.metadata.parts if config.metadata else ()) == parts


@pytest.mark.parametrize(
    "hyper_parameters", [{}, {"sat_type": "landsat"}, {"sat_type": "bingmap", "metadata_type": "mood"}]
)
def test_unknown_hyper_parameters_are_named(hyper_parameters: dict[str, Any]) -> None:
    with pytest.raises(IncompatibleCheckpoint, match=r"x\.ckpt"):
        derive_config(Path("x.ckpt"), hyper_parameters)


class Hostile:
    """Runs a command when unpickled without care."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_hostile_pickle_is_not_executed(tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "hostile.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": Hostile(mark)}, path)
    with pytest.raises(UnsafeCheckpoint, match="allow-list"):
        load_model(path)
    assert not mark.exists()


def test_namespaces_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "namespace.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": argparse.Namespace(sat_type="bingmap")}, path)
    assert load_lightning(path)["hyper_parameters"] == argparse.Namespace(sat_type="bingmap")
    assert derive_config(path, load_lightning(path)["hyper_parameters"]).name == "bingmap-nometa"


@pytest.mark.parametrize("kept", [0, 10, 2000])
def test_truncated_files(tmp_path: Path, starter: Path, kept: int) -> None:
    whole = tmp_path / "whole.ckpt"
    torch.save({"state_dict": {"x": torch.zeros(5000)}, "hyper_parameters": {}}, whole)
    for source, suffix in ((whole, ".ckpt"), (starter, ".safetensors")):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(source.read_bytes()[:kept])
        with pytest.raises(CorruptCheckpoint, match="cut"):
            load_model(path)


def test_another_project(tmp_path: Path) -> None:
    bare = tmp_path / "bare.ckpt"
    torch.save({"model": {"weight": torch.zeros(3)}}, bare)
    with pytest.raises(IncompatibleCheckpoint, match="state_dict"):
        load_model(bare)


def test_missing_unexpected_and_misshapen_names_are_all_listed(tmp_path: Path, starter: Path) -> None:
    config, state = read_safetensors(starter)
    state["extra.weight"] = torch.zeros(1)
    state["projector.linear1.bias"] = torch.zeros(3)
    del state["codebook.concepts"]
    path = tmp_path / "odd.safetensors"
    save_safetensors(path, config, state)
    with pytest.raises(IncompatibleCheckpoint) as caught:
        load_model(path)
    for part in ("missing: codebook.concepts", "unexpected: extra.weight", "wrong shape: projector.linear1.bias"):
        assert part in str(caught.value)


def test_foreign_safetensors_and_absent_files(tmp_path: Path) -> None:
    import safetensors.torch

    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, str(path))
    with pytest.raises(IncompatibleCheckpoint, match="another project"):
        load_model(path)
    with pytest.raises(CheckpointError, match="no such file"):
        load_model(tmp_path / "absent.ckpt")
    with pytest.raises(CheckpointError, match="not a file"):
        load_model(tmp_path)
    loop = tmp_path / "loop.ckpt"
    loop.symlink_to(loop)
    with pytest.raises(CheckpointError, match=r"loop\.ckpt"):
        load_model(loop)


def test_saving_leaves_no_partial_file(tmp_path: Path, starter: Path) -> None:
    config, state = read_safetensors(starter)
    path = tmp_path / "a.safetensors"
    save_safetensors(path, config, state, note="kept")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]
    header = path.read_bytes()
    length = int.from_bytes(header[:8], "little")
    assert json.loads(header[8 : 8 + length])["__metadata__"]["note"] == "kept"
