from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from tiny_repository import CONFIG, ENTRIES

from sat2sound.contract import MODELS, composing_models
from sat2sound.export.profiles import PROFILES
from sat2sound.export.triton_config import model_config
from sat2sound.serving.backends.onnxruntime.signature import mismatches

GRAPHS = [model.name for model in composing_models() if model.kind == "onnx"]


def as_json(name: str) -> dict[str, Any]:
    """A model's configuration as the server hands it to a backend."""
    message = model_config(MODELS[name], CONFIG.dimensions(ENTRIES), PROFILES["cpu"])
    return dict(json_format.MessageToDict(message, preserving_proto_field_name=True))


@pytest.fixture
def encoder(tiny_repository: Path) -> onnxruntime.InferenceSession:
    return session(tiny_repository, "satellite_encoder")


def session(repository: Path, name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(repository / name / "1" / "model.onnx"), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_keep_the_contract_fit(tiny_repository: Path, name: str) -> None:
    assert mismatches(as_json(name), session(tiny_repository, name)) == []


def test_a_missing_and_an_extra_input_are_named(encoder: onnxruntime.InferenceSession) -> None:
    config = as_json("satellite_encoder")
    config["input"][1]["name"] = "DISTANCE"
    assert mismatches(config, encoder) == [
        "input GSD is in the graph only",
        "input DISTANCE is in the configuration only",
    ]


def test_a_data_type_and_a_size_that_differ_are_named(encoder: onnxruntime.InferenceSession) -> None:
    config = as_json("satellite_encoder")
    config["input"][0]["data_type"] = "TYPE_FP32"
    config["output"][0]["dims"] = ["196", "512"]
    assert mismatches(config, encoder) == [
        "input PIXELS is tensor(uint8) in the graph, TYPE_FP32 in the configuration",
        "output TOKENS has shape ['batch', 196, 256] in the graph, [-1, 196, 512] in the configuration",
    ]


def test_without_batching_the_configuration_names_every_dimension(encoder: onnxruntime.InferenceSession) -> None:
    config = {**as_json("satellite_encoder"), "max_batch_size": 0}
    assert (
        "input PIXELS has shape ['batch', 224, 224, 3] in the graph, [224, 224, 3] in the configuration"
        in mismatches(config, encoder)
    )


def test_a_size_that_one_side_leaves_open_fits(encoder: onnxruntime.InferenceSession) -> None:
    config = as_json("satellite_encoder")
    config["output"][0]["dims"] = ["-1", "256"]
    assert mismatches(config, encoder) == []
