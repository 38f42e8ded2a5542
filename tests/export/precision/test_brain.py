"""Bfloat16 graphs: types, finite masks, and the float32 stand-in that gates run where kernels are lacking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from ml_dtypes import bfloat16
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from sat2sound.export.gates.runtime import runner, session
from sat2sound.export.precision.brain import to_bfloat16

WIDTH = 96
Floats = npt.NDArray[np.float32]


def product(path: Path, weight: Floats, *, masked: bool = False) -> Path:
    """[B, width] @ weight, and then plus (1 - MASK) * lowest where masked."""
    values = [numpy_helper.from_array(weight, "weight")]
    nodes = [helper.make_node("MatMul", ["X", "weight"], ["P" if masked else "Y"], name="product")]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["batch", WIDTH])]
    if masked:
        lowest = np.array(np.finfo(np.float32).min, np.float32)
        values += [numpy_helper.from_array(lowest, "lowest"), numpy_helper.from_array(np.array(1, np.float32), "one")]
        nodes += [
            helper.make_node("Sub", ["one", "MASK"], ["hidden"], name="hidden"),
            helper.make_node("Mul", ["hidden", "lowest"], ["penalty"], name="penalty"),
            helper.make_node("Add", ["P", "penalty"], ["scores"], name="scores"),
            helper.make_node("Softmax", ["scores"], ["Y"], name="softmax"),
        ]
        inputs.append(helper.make_tensor_value_info("MASK", TensorProto.FLOAT, ["batch", WIDTH]))
    output = helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["batch", WIDTH])
    graph = helper.make_graph(nodes, "product", inputs, [output], values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    return path


def short(values: Floats) -> Floats:
    return values.astype(bfloat16).astype(np.float32)


def test_it_rounds_weights_inputs_and_outputs_and_sums_in_float32(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    weight, x = (random.standard_normal((WIDTH, WIDTH)).astype(np.float32) for _ in range(2))
    to_bfloat16(product(tmp_path / "exact.onnx", weight), tmp_path / "short.onnx")
    found = runner(tmp_path / "short.onnx", "bfloat16")({"X": x})["Y"]
    expected = short(short(x) @ short(weight))
    assert np.array_equal(found, short(found))  # what leaves is a bfloat16 value
    steps = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-3)
    assert (steps <= 2**-7).all()  # the order of additions may move a value to the next one
    assert (steps == 0).mean() > 0.99
    assert np.abs(found - x @ weight).max() > 1e-3  # and it is not float32


def test_the_lowest_float32_in_a_mask_stays_finite(tmp_path: Path) -> None:
    weight = np.eye(WIDTH, dtype=np.float32)
    to_bfloat16(product(tmp_path / "exact.onnx", weight, masked=True), tmp_path / "short.onnx")
    mask = np.ones((2, WIDTH), np.float32)
    mask[1, 7:] = 0
    found = runner(tmp_path / "short.onnx", "bfloat16")({"X": np.zeros((2, WIDTH), np.float32), "MASK": mask})["Y"]
    np.testing.assert_allclose(found[0], 1 / WIDTH, rtol=1e-2)  # not NaN, as 0 times minus infinity would be
    np.testing.assert_allclose(found[1], np.where(mask[1] == 1, 1 / 7, 0), rtol=1e-2)


def test_onnxruntime_itself_cannot_run_it_here(tmp_path: Path) -> None:
    """When this fails, onnxruntime has learnt bfloat16 on the CPU, and the stand-in can go."""
    to_bfloat16(product(tmp_path / "exact.onnx", np.eye(WIDTH, dtype=np.float32)), tmp_path / "short.onnx")
    with pytest.raises(NoKernel):
        onnxruntime.InferenceSession(str(tmp_path / "short.onnx"), providers=["CPUExecutionProvider"])
    assert session(tmp_path / "short.onnx", "bfloat16").get_inputs()[0].type == "tensor(float)"


def test_weights_above_the_range_of_float16_keep_their_size(tmp_path: Path) -> None:
    weight = np.full((WIDTH, WIDTH), 1e6, np.float32)
    to_bfloat16(product(tmp_path / "exact.onnx", weight), tmp_path / "short.onnx")
    found = runner(tmp_path / "short.onnx", "bfloat16")({"X": np.ones((1, WIDTH), np.float32)})["Y"]
    np.testing.assert_allclose(found, 1e6 * WIDTH, rtol=1e-2)


@pytest.fixture(scope="module")
def encoder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    exact = repository / "text_encoder" / "1" / "model.onnx"
    made = tmp_path_factory.mktemp("brain") / "short.onnx"
    to_bfloat16(exact, made)
    return exact, made


def test_the_text_encoder_keeps_the_wire_and_halves_its_weights(encoder: tuple[Path, Path]) -> None:
    exact, made = (onnx.load(str(path)) for path in encoder)
    onnx.checker.check_model(made)
    matrices = [tensor for tensor in made.graph.initializer if len(tensor.dims) == 2 and min(tensor.dims) >= WIDTH]
    assert matrices
    assert {tensor.data_type for tensor in matrices} == {TensorProto.BFLOAT16}
    for ours, theirs in zip(
        [*made.graph.input, *made.graph.output], [*exact.graph.input, *exact.graph.output], strict=True
    ):
        assert (ours.name, ours.type.tensor_type.elem_type) == (theirs.name, theirs.type.tensor_type.elem_type)
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in made.graph.initializer}
    assert encoder[1].stat().st_size < 0.55 * encoder[0].stat().st_size
