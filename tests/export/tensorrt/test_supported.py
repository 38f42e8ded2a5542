"""The parser's table: every graph of ours fits, and what does not is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sat2sound.contract import MODELS
from sat2sound.export.precision.half import to_float16
from sat2sound.export.precision.int8 import quantise
from sat2sound.export.profiles import PROFILES
from sat2sound.export.tensorrt.supported import check, check_supported

GRAPHS = [name for name, model in MODELS.items() if model.kind == "onnx"]
Edit = Callable[[onnx.ModelProto], None]


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_graph_of_the_starter_is_supported(graph: str, repository: Path, tmp_path: Path) -> None:
    exact = repository / graph / "1" / "model.onnx"
    assert check(exact) == []
    to_float16(exact, tmp_path / "half.onnx")
    onnx.checker.check_model(str(tmp_path / "half.onnx"))  # in order, too
    assert check(tmp_path / "half.onnx") == []


def test_every_graph_with_metadata_is_supported(small_repository: Path) -> None:
    files = {name: small_repository / name / "1" / "model.onnx" for name in GRAPHS}
    results = check_supported(PROFILES["tensorrt"], files)
    assert [result.subject for result in results] == list(PROFILES["tensorrt"].engines)
    assert [result.problems for result in results] == [()] * 6


def edited(source: Path, destination: Path, edit: Edit) -> list[str]:
    model = onnx.load(str(source))
    edit(model)
    onnx.save(model, str(destination))
    return check(destination)


def unknown_operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Div").op_type = "BitwiseAnd"


def too_many_rows(model: onnx.ModelProto) -> None:
    (node,) = (node for node in model.graph.node if node.op_type == "TopK")
    (k,) = (tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    k.CopyFrom(numpy_helper.from_array(np.array([4000], np.int64), k.name))


def computed_row_count(model: onnx.ModelProto) -> None:
    (node,) = (node for node in model.graph.node if node.op_type == "TopK")
    model.graph.node.insert(0, helper.make_node("Shape", ["EMBEDDING"], ["count"], start=0, end=1))
    node.input[1] = "count"


def unsorted_rows(model: onnx.ModelProto) -> None:
    (node,) = (node for node in model.graph.node if node.op_type == "TopK")
    kept = [entry for entry in node.attribute if entry.name != "sorted"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("sorted", 0)])


def old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 26


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (unknown_operator, "not among the operators"),
        (too_many_rows, "K is 4000, expected less than 3840"),
        (computed_row_count, "input 1 (count) must be a constant"),
        (unsorted_rows, "must be sorted"),
        (old_opset, "opset 26, expected 9 to 24"),
    ],
)
def test_what_the_parser_refuses_is_found(edit: Edit, expected: str, repository: Path, tmp_path: Path) -> None:
    problems = edited(repository / "similarity" / "1" / "model.onnx", tmp_path / "changed.onnx", edit)
    assert any(expected in problem for problem in problems), problems


def one_node(path: Path, node: onnx.NodeProto, kind: int, shape: list[int | str], *constants: np.ndarray) -> list[str]:
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(node.output[0], TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(array, f"c{place}") for place, array in enumerate(constants)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), str(path))
    return check(path)


def test_cubic_interpolation_bytes_and_doubles_are_found(tmp_path: Path) -> None:
    path = tmp_path / "one.onnx"
    shape: list[int | str] = ["batch", 1, 8, 8]
    scales = np.array([1, 1, 2, 2], np.float32)
    resize = helper.make_node("Resize", ["x", "", "c0"], ["y"], mode="cubic")
    assert one_node(path, resize, TensorProto.FLOAT, shape, scales) == [
        "Resize y: mode is cubic, expected nearest, linear"
    ]
    linear = helper.make_node("Resize", ["x", "", "c0"], ["y"], mode="linear")
    assert one_node(path, linear, TensorProto.FLOAT, shape, scales) == []
    (problem,) = one_node(path, helper.make_node("Relu", ["x"], ["y"]), TensorProto.DOUBLE, shape)
    assert "x is DOUBLE" in problem
    (problem,) = one_node(
        path, helper.make_node("Reshape", ["x", "c0"], ["y"]), TensorProto.UINT8, shape, np.array([-1])
    )
    assert "x is UINT8" in problem
    assert one_node(path, helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT), TensorProto.UINT8, shape) == []


def test_onnxruntimes_own_operators_are_found(small_repository: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(small_repository / "audio_encoder" / "1" / "model.onnx", tmp_path / "model.onnx"))
    products = quantise(source, tmp_path / "int8.onnx")
    problems = check(tmp_path / "int8.onnx")
    assert products > 0
    assert sum("com.microsoft" in problem for problem in problems) == products
