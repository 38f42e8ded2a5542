"""TF32: the file stays float32; what the gates run instead rounds as much as tensor cores may, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sat2sound.clients.description import describe_repository
from sat2sound.contract import MODELS
from sat2sound.export.gates import check_graph
from sat2sound.export.gates.runtime import runner
from sat2sound.export.gates.tolerances import tolerance
from sat2sound.export.precision.tensor_float import to_tf32
from sat2sound.export.profiles import PROFILES
from sat2sound.export.references import FILE, read_references

WIDTH = 64
KEPT = 10  # mantissa bits that TF32 keeps


def product(path: Path, weight: np.ndarray) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "weight"], ["Y"]), helper.make_node("Exp", ["X"], ["Z"])],
        "product",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in "YZ"],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    return path


def cut_off(values: np.ndarray) -> np.ndarray:
    """The first bits of the mantissa: what a kernel multiplies that does not round."""
    return (values.view(np.uint32) & np.uint32(0xFFFFFFFF << (23 - KEPT) & 0xFFFFFFFF)).view(np.float32)


def test_operands_are_rounded_as_far_as_cutting_off_may_move_them(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    x = (random.standard_normal((500, WIDTH)) * 10.0 ** random.integers(-20, 20, (500, WIDTH))).astype(np.float32)
    run = runner(product(tmp_path / "identity.onnx", np.eye(WIDTH, dtype=np.float32)), "tf32")
    rounded = run({"X": x})["Y"]
    assert (cut_off(rounded) == rounded).all()
    ours, worst = np.abs(rounded / x - 1).max(), np.abs(cut_off(x) / x - 1).max()
    assert worst <= ours * 1.01
    assert ours <= 2.0**-KEPT


def test_products_lose_three_digits_and_nothing_else_does(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    x, weight = (random.standard_normal((WIDTH, WIDTH)).astype(np.float32) for _ in range(2))
    path = product(tmp_path / "product.onnx", weight)
    exact, rounded = runner(path)({"X": x}), runner(path, "tf32")({"X": x})
    difference = np.abs(exact["Y"] - rounded["Y"]).max() / np.abs(exact["Y"]).max()
    assert 1e-5 < difference < 2e-3
    assert np.array_equal(exact["Z"], rounded["Z"])


def test_the_file_is_the_float32_one(tmp_path: Path) -> None:
    path = product(tmp_path / "product.onnx", np.ones((WIDTH, WIDTH), np.float32))
    to_tf32(path, tmp_path / "made" / "product.onnx")
    assert (tmp_path / "made" / "product.onnx").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("profile", PROFILES)
def test_codebook_pooling_keeps_float32_numbers_in_every_profile(profile: str) -> None:
    for branch in ("satellite", "audio", "text"):
        assert PROFILES[profile].precision(f"{branch}_pooling") in ("float32", "tf32")


@pytest.mark.parametrize("name", ["satellite_pooling", "audio_pooling", "text_pooling", "text_encoder"])
def test_graphs_pass_the_gate_of_tf32_but_not_that_of_float32(name: str, small_repository: Path) -> None:
    path = small_repository / name / "1" / "model.onnx"
    cases = read_references(small_repository / FILE).graphs[name]
    dimensions = describe_repository(small_repository).config.dimensions(5)
    results = check_graph(MODELS[name], dimensions, path, "tf32", cases)
    assert [problem for result in results for problem in result.problems] == []
    values = next(result for result in results if result.gate == "values")
    assert values.measured is not None
    assert tolerance(name, "float32").value < values.measured < tolerance(name, "tf32").value
