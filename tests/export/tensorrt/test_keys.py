"""An engine's key changes with everything that makes it another engine, and with nothing else."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sat2sound.configs import load_config
from sat2sound.errors import ConfigurationError
from sat2sound.export.profiles import MAX_K, PROFILES
from sat2sound.export.tensorrt.device import Device
from sat2sound.export.tensorrt.keys import engine_key, onnx_digest
from sat2sound.export.tensorrt.shapes import ShapeRange, engine_shapes

DEVICE = Device("9.0", "10.13.3.9", "NVIDIA H100")
SHAPES = {"TOKENS": ShapeRange((1, 7, 48), (16, 7, 48), (64, 7, 48))}


@pytest.fixture
def graph(small_repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_repository / "satellite_pooling" / "1" / "model.onnx", tmp_path / "model.onnx"))


def test_everything_that_matters_is_in_the_key(graph: Path, small_repository: Path) -> None:
    other = small_repository / "audio_pooling" / "1" / "model.onnx"
    wider = {"TOKENS": ShapeRange((1, 7, 48), (16, 7, 48), (65, 7, 48))}
    keys = [
        engine_key(graph, "float32", SHAPES, DEVICE),
        engine_key(other, "float32", SHAPES, DEVICE),
        engine_key(graph, "float32", wider, DEVICE),
        engine_key(graph, "float32", SHAPES, dataclasses.replace(DEVICE, compute_capability="8.9")),
        engine_key(graph, "float32", SHAPES, dataclasses.replace(DEVICE, tensorrt="10.13.3.10")),
        engine_key(graph, "tf32", SHAPES, DEVICE),
        dataclasses.replace(engine_key(graph, "float32", SHAPES, DEVICE), settings="another way"),
    ]
    assert len({key.digest for key in keys}) == len({key.file for key in keys}) == 7
    renamed = dataclasses.replace(DEVICE, name="NVIDIA H100 80GB HBM3")
    assert engine_key(graph, "float32", SHAPES, renamed).digest == keys[0].digest


def test_external_weights_count(graph: Path, tmp_path: Path) -> None:
    model = onnx.load(str(graph))
    apart = tmp_path / "apart" / "model.onnx"
    apart.parent.mkdir()
    onnx.save(model, str(apart), save_as_external_data=True, location="weights.data", size_threshold=0)
    before = onnx_digest(apart)
    moved = Path(shutil.copytree(apart.parent, tmp_path / "moved")) / "model.onnx"
    assert onnx_digest(moved) == before
    weights = apart.with_name("weights.data")
    values = np.fromfile(weights, np.uint8)
    values[-1] ^= 1
    values.tofile(weights)
    assert onnx_digest(apart) != before


def test_weights_elsewhere_and_rubbish_are_refused(graph: Path) -> None:
    model = onnx.load(str(graph))
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), tensor.name))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    graph.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigurationError, match="not beside it"):
        onnx_digest(graph)
    graph.write_bytes(b"rubbish")
    with pytest.raises(ConfigurationError, match="no"):
        onnx_digest(graph)


def test_shapes_cover_what_triton_may_send() -> None:
    config = load_config("starter")
    shapes = engine_shapes("text_encoder", config, PROFILES["tensorrt"], MAX_K)
    longest = config.text.max_tokens
    assert shapes["INPUT_IDS"] == ((1, 1), (16, min(config.text.buckets)), (64, longest))
    assert shapes["INPUT_IDS"] == shapes["ATTENTION_MASK"]
    pixels = engine_shapes("satellite_encoder", config, PROFILES["tensorrt"], MAX_K)["PIXELS"]
    assert pixels == ((1, 224, 224, 3), (16, 224, 224, 3), (64, 224, 224, 3))
