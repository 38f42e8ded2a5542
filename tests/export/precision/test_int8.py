"""INT8 graphs: close to float32, and every row for itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as some
from onnx import TensorProto, helper, numpy_helper

from sat2sound.export.precision.int8 import SMALLEST_SIDE, quantise, quantise_weight

WIDTH = 128
Floats = npt.NDArray[np.float32]


def two_layers(path: Path, random: np.random.Generator, width: int = WIDTH) -> Path:
    """[B, T, width] -> product, gelu, product, and a second product of the same input."""
    weights = {name: random.standard_normal((width, width)).astype(np.float32) / 8 for name in ("a", "b", "c")}
    nodes = [
        helper.make_node("MatMul", ["X", "a"], ["hidden"]),
        helper.make_node("Gelu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "b"], ["Y"]),
        helper.make_node("MatMul", ["X", "c"], ["Z"]),
    ]
    shape: list[str | int | None] = ["batch", "tokens", width]
    graph = helper.make_graph(
        nodes,
        "two_layers",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("Y", "Z")],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    return path


def run(path: Path, x: Floats) -> list[Floats]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, {"X": x})]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("int8")
    exact = two_layers(folder / "exact.onnx", np.random.default_rng(1))
    assert quantise(exact, folder / "int8.onnx") == 3
    return exact, folder / "int8.onnx"


def test_products_become_integer_products_that_share_their_input(graphs: tuple[Path, Path]) -> None:
    operators = [node.op_type for node in onnx.load(str(graphs[1])).graph.node]
    assert operators.count("MatMulIntegerToFloat") == 3
    assert operators.count("QuantizeLinear") == 2  # X once for two products
    assert "MatMul" not in operators
    assert graphs[1].stat().st_size < 0.4 * graphs[0].stat().st_size


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3)])
def test_outputs_are_close(graphs: tuple[Path, Path], shape: tuple[int, int]) -> None:
    x = np.random.default_rng(2).standard_normal((*shape, WIDTH)).astype(np.float32)
    for exact, found in zip(run(graphs[0], x), run(graphs[1], x), strict=True):
        cosine = (exact * found).sum(-1) / np.linalg.norm(exact, axis=-1) / np.linalg.norm(found, axis=-1)
        assert cosine.min() > 0.999


@given(some.integers(0, 2**31), some.integers(2, 6), some.floats(1e-3, 1e3))
def test_a_row_does_not_depend_on_its_neighbours(
    graphs: tuple[Path, Path], seed: int, count: int, loudness: float
) -> None:
    x = np.random.default_rng(seed).standard_normal((count, 4, WIDTH)).astype(np.float32)
    x[-1] *= loudness  # with one scale for the batch this would change all others
    together = run(graphs[1], x)
    for index in range(count):
        alone = run(graphs[1], x[[index]])
        assert all(np.array_equal(a[0], b[index]) for a, b in zip(alone, together, strict=True))


def test_a_row_of_zeros_and_a_row_with_one_outlier(graphs: tuple[Path, Path]) -> None:
    x = np.zeros((1, 2, WIDTH), np.float32)
    x[0, 1, 5] = 3e4
    for exact, found in zip(run(graphs[0], x), run(graphs[1], x), strict=True):
        assert np.isfinite(found).all()
        assert np.array_equal(found[0, 0], np.zeros(WIDTH, np.float32))
        assert np.abs(exact - found).max() <= 0.02 * np.abs(exact).max()


@pytest.mark.parametrize("depth", [200, 201])
@pytest.mark.parametrize("heavy", [False, True])
def test_pairs_of_products_fit_16_bits(depth: int, heavy: bool) -> None:
    """What processors without VNNI add before they widen; with a scale per column only, these weights overflow."""
    weight = np.random.default_rng(8).standard_normal((depth, 90)).astype(np.float32)
    if heavy:
        weight[10:12] = 50.0
    integers, _ = quantise_weight(weight)
    padded = np.concatenate([integers, np.zeros((depth % 2, 90), np.int8)]).astype(np.int32)
    pairs = 255 * padded[0::2] + 255 * padded[1::2]
    assert np.abs(pairs).max() <= 32_767
    assert np.abs(pairs).max() > 30_000  # and the range is used


def test_weights_come_back_within_half_a_step() -> None:
    weight = np.random.default_rng(3).standard_normal((200, 90)).astype(np.float32)
    weight[:, 4] = 0
    integers, scale = quantise_weight(weight)
    assert integers.dtype == np.int8
    assert integers.min() >= -127
    assert (np.abs(integers * scale - weight) <= scale / 2 + 1e-6).all()


def test_small_products_stay_as_they_are(tmp_path: Path) -> None:
    exact = two_layers(tmp_path / "small.onnx", np.random.default_rng(4), width=SMALLEST_SIDE - 1)
    assert quantise(exact, tmp_path / "int8.onnx") == 0
    assert [node.op_type for node in onnx.load(str(tmp_path / "int8.onnx")).graph.node].count("MatMul") == 3


def test_large_graphs_keep_their_weights_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sat2sound.export.precision.files.EXTERNAL_DATA_ABOVE", 1000)
    exact = two_layers(tmp_path / "exact.onnx", np.random.default_rng(5))
    made = tmp_path / "made" / "model.onnx"
    for _ in range(2):  # a second time over the first
        quantise(exact, made)
    beside = made.with_name("model.onnx.data")
    assert 3 * WIDTH * WIDTH <= beside.stat().st_size < 4 * WIDTH * WIDTH
    x = np.ones((1, 1, WIDTH), np.float32)
    assert np.allclose(run(exact, x)[1], run(made, x)[1], atol=0.05)
