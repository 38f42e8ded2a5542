"""Float16 graphs keep the wire's data types, and float32 where float16 would not do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from sat2sound.contract import MODELS
from sat2sound.export.precision.half import to_float16


@pytest.fixture(scope="module")
def encoder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("half")
    exact = Path(shutil.copy(repository / "satellite_encoder" / "1" / "model.onnx", folder / "exact.onnx"))
    to_float16(exact, folder / "half.onnx")
    return exact, folder / "half.onnx"


def test_inputs_and_outputs_keep_their_types(encoder: tuple[Path, Path]) -> None:
    exact, half = (onnx.load(str(path)).graph for path in encoder)
    for ours, theirs in zip([*half.input, *half.output], [*exact.input, *exact.output], strict=True):
        assert ours.name == theirs.name
        assert ours.type.tensor_type.elem_type == theirs.type.tensor_type.elem_type


def test_weights_are_half_as_large_and_norms_stay_float32(encoder: tuple[Path, Path]) -> None:
    exact, half = encoder
    assert half.stat().st_size < 0.6 * exact.stat().st_size
    graph = onnx.load(str(half)).graph
    matrices = [tensor for tensor in graph.initializer if len(tensor.dims) == 2 and min(tensor.dims) >= 64]
    assert matrices
    assert {tensor.data_type for tensor in matrices} == {TensorProto.FLOAT16}
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    norms = [node for node in graph.node if node.op_type == "LayerNormalization"]
    casts = {node.output[0]: node.attribute[0].i for node in graph.node if node.op_type == "Cast"}
    assert norms
    assert {casts.get(name, kinds.get(name)) for node in norms for name in node.input} == {TensorProto.FLOAT}


def test_values_are_close(encoder: tuple[Path, Path]) -> None:
    random = np.random.default_rng(6)
    inputs = {"PIXELS": random.integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)}
    inputs |= {t.name: np.full((2, 1), np.nan, np.float32) for t in MODELS["satellite_encoder"].inputs[1:]}
    exact, half = (
        np.asarray(
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)[0]
        ).reshape(2, -1)
        for path in encoder
    )
    cosine = (exact * half).sum(-1) / np.linalg.norm(exact, axis=-1) / np.linalg.norm(half, axis=-1)
    assert cosine.min() > 0.9999
