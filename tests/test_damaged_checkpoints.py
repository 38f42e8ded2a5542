"""Foreign and damaged checkpoints: a typed error that says what is wrong, never anything else, or a model."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from sat2sound.checkpoints import interpret_published, load_model, save_safetensors
from sat2sound.configs import METADATA_PARTS, AudioConfig, CodebookConfig, MetadataConfig, ModelConfig, load_config
from sat2sound.errors import CheckpointError, ConfigurationError, CorruptCheckpoint, IncompatibleCheckpoint
from sat2sound.models import Sat2Sound
from sat2sound.pickles import load_lightning

GOOD: dict[str, Any] = {"sat_type": "bingmap", "metadata_type": "none"}


def tiny_config() -> ModelConfig:
    """All parts of a model, as small as they can be."""
    starter = load_config("starter")
    return dataclasses.replace(
        starter,
        name="tiny",
        embedding=8,
        satellite=dataclasses.replace(starter.satellite, width=16, depth=1, heads=2),
        audio=AudioConfig(width=4, depths=(2, 1), heads=(1, 1)),
        text=dataclasses.replace(starter.text, width=8),
        codebook=CodebookConfig(size=10, temperature=1.0),
        metadata=MetadataConfig(parts=METADATA_PARTS, layers=1, heads=2, feedforward=8, hidden=4),
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    model = Sat2Sound(tiny_config())
    save_safetensors(path, model.config, model.state_dict())
    return path


def small_checkpoint(legacy: bool) -> bytes:
    """A Lightning checkpoint with one parameter that published models have too, whatever else they have."""
    buffer = io.BytesIO()
    hyper_parameters = argparse.Namespace(sat_type="bingmap", metadata_type="latlong_month", out=Path("/data"))
    state = {"fdt.space_dict": torch.arange(40.0).reshape(5, 8), "logit_scale_at": torch.tensor(2.0)}
    content = {"state_dict": state, "hyper_parameters": hyper_parameters, "epoch": 3}
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": [torch.zeros(1)], "hyper_parameters": GOOD},
        {"state_dict": torch.zeros(1), "hyper_parameters": GOOD},
        {"state_dict": {1: torch.zeros(1)}, "hyper_parameters": GOOD},
        {"state_dict": {"fdt.space_dict": 5}, "hyper_parameters": GOOD},
        {"state_dict": {"fdt.space_dict": None}, "hyper_parameters": GOOD},
        {"state_dict": {"fdt.space_dict": torch.zeros(16000, 1024, dtype=torch.int8)}, "hyper_parameters": GOOD},
        {"state_dict": {"fdt.space_dict": torch.zeros(16000, 1024).to_sparse()}, "hyper_parameters": GOOD},
        {"state_dict": {}, "hyper_parameters": 5},
        {"state_dict": {}, "hyper_parameters": None},
        {"state_dict": {}, "hyper_parameters": [["sat_type", "bingmap"]]},
        {"state_dict": {}, "hyper_parameters": {"sat_type": ["bingmap"]}},
        {"state_dict": {}, "hyper_parameters": {"sat_type": torch.zeros(3)}},
        {"state_dict": {}, "hyper_parameters": {**GOOD, "metadata_type": 5}},
        {"state_dict": {}, "hyper_parameters": {**GOOD, "metadata_type": [["month"]]}},
        {"state_dict": {}, "hyper_parameters": {**GOOD, "metadata_type": torch.ones(2)}},
        {"state_dict": {}, "hyper_parameters": {**GOOD, "metadata_type": "x_" * 10_000_000}},
        {"state_dict": {}, "hyper_parameters": {**GOOD, "use_meta": torch.ones(2), "args": 5}},
        [1, 2],
        5,
    ],
)
def test_foreign_content(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "foreign.ckpt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's sparse tensors warn about themselves
        torch.save(content, path)
    with pytest.raises(IncompatibleCheckpoint, match=r"(?s)foreign\.ckpt: .*; to fix it, ") as caught:
        load_model(path)
    assert len(str(caught.value)) < 40_000


def test_a_plain_pickle_and_text_are_not_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "plain.ckpt"
    for data in (
        pickle.dumps({"state_dict": {}}),
        b"not a checkpoint\n",
        b"",
        b"PK\x03\x04",
        b"version https://git-lfs",
    ):
        path.write_bytes(data)
        with pytest.raises(CorruptCheckpoint, match=r"plain\.ckpt"):
            load_model(path)


def test_checkpoints_of_torch_before_1_6_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    path.write_bytes(small_checkpoint(legacy=True))
    config, state = interpret_published(path, load_lightning(path))
    assert (config.name, config.metadata and config.metadata.parts) == ("bingmap-withmeta", ("location", "month"))
    assert torch.equal(state["codebook.concepts"], torch.arange(40.0).reshape(5, 8))


def test_names_that_no_file_can_have() -> None:
    for name in ("a\0b.ckpt", "x" * 5000 + ".ckpt"):
        with pytest.raises(CheckpointError, match="give a"):
            load_model(name)


@pytest.mark.parametrize(
    ("field", "value"),
    [("heads", 0), ("width", "16"), ("depth", 1.5), ("depth", True), ("patch_size", -16), ("stem", "x")],
)
def test_configurations_with_impossible_fields(field: str, value: Any) -> None:
    raw = dataclasses.asdict(tiny_config())
    raw["satellite"][field] = value
    with pytest.raises(ConfigurationError, match=field):
        ModelConfig.from_json(json.dumps(raw))


def test_a_configuration_that_describes_no_model(tmp_path: Path) -> None:
    config = tiny_config()
    odd = dataclasses.replace(config, audio=dataclasses.replace(config.audio, image_size=140))
    path = tmp_path / "odd.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, {"format": "sat2sound", "config": odd.to_json()})
    with pytest.raises(IncompatibleCheckpoint, match=r"odd\.safetensors: its configuration describes no model"):
        load_model(path)


# Where and what to overwrite, and how much to keep of the end.
DAMAGE = some.tuples(
    some.lists(some.tuples(some.floats(0, 1), some.binary(min_size=1, max_size=4)), max_size=4),
    some.just(1.0) | some.floats(0, 1),
)


def damaged(data: bytes, damage: tuple[list[tuple[float, bytes]], float]) -> bytes:
    out = bytearray(data)
    for where, content in damage[0]:
        start = int(where * len(out))
        out[start : start + len(content)] = content
    return bytes(out[: int(damage[1] * len(out))])


def loads_or_says_why(path: Path) -> None:
    try:
        load_model(path)
    except CheckpointError as error:
        named = str(path) in str(error)
    else:
        named = True
    assert named


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DAMAGE, some.booleans())
def test_any_damage_to_a_pickle_is_a_typed_error(
    tmp_path: Path, damage: tuple[list[tuple[float, bytes]], float], legacy: bool
) -> None:
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(damaged(small_checkpoint(legacy), damage))
    loads_or_says_why(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DAMAGE, some.booleans())
def test_any_damage_to_safetensors_is_a_typed_error(
    tmp_path: Path, tiny: Path, damage: tuple[list[tuple[float, bytes]], float], header: bool
) -> None:
    data = tiny.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little") if header else len(data)
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged(data[:start], damage) + data[start:])
    loads_or_says_why(path)
