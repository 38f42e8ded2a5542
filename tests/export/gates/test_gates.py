"""Each gate passes what is right and names everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_repository import CONFIG, ENTRIES

from sat2sound.contract import MODELS
from sat2sound.errors import GateFailure
from sat2sound.export.gates import GateResult, check_graph, require
from sat2sound.export.gates.differences import centred_cosine, item_cosines, relative_difference
from sat2sound.export.gates.interface import interface_problems
from sat2sound.export.gates.neighbours import check_neighbours
from sat2sound.export.gates.retrieval import rankings
from sat2sound.export.gates.tolerances import RETRIEVAL
from sat2sound.export.gates.values import check_values
from sat2sound.export.references import Arrays, Case

DIMENSIONS = CONFIG.dimensions(ENTRIES)
random = np.random.default_rng(4)


def case(array: np.ndarray, expected: np.ndarray | None = None) -> Case:
    return Case("made", {"TOKENS": array}, {"EMBEDDING": array if expected is None else expected})


def same(inputs: Arrays) -> dict[str, np.ndarray]:
    return {"EMBEDDING": inputs["TOKENS"]}


def batch_scaled(inputs: Arrays) -> dict[str, np.ndarray]:
    """As a dynamic INT8 graph does: one scale for the whole batch."""
    scale = np.abs(inputs["TOKENS"]).max() / 127
    return {"EMBEDDING": (np.round(inputs["TOKENS"] / scale) * scale).astype(np.float32)}


def item_scaled(inputs: Arrays) -> dict[str, np.ndarray]:
    scale = np.abs(inputs["TOKENS"]).max(axis=1, keepdims=True) / 127
    return {"EMBEDDING": (np.round(inputs["TOKENS"] / scale) * scale).astype(np.float32)}


TOKENS = random.standard_normal((5, 16)).astype(np.float32) * np.array([[1], [2], [4], [8], [16]], np.float32)


def test_a_result_that_depends_on_its_neighbours_is_found() -> None:
    assert check_neighbours("satellite_pooling", "float32", same, [case(TOKENS)]).passed
    assert check_neighbours("satellite_pooling", "float32", item_scaled, [case(TOKENS)]).passed
    found = check_neighbours("satellite_pooling", "float32", batch_scaled, [case(TOKENS)])
    assert len(found.problems) == 4  # the item with the largest values decides the scale, also alone
    assert found.measured is not None
    assert found.measured > 1e-3
    assert not check_neighbours("satellite_pooling", "float32", same, [case(TOKENS[:1])]).passed


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (TOKENS * np.float32(1.001), "differs by 1.00e-03"),
        (TOKENS[:, :8], "is float32[5, 8], expected float32[5, 16]"),
        (TOKENS.astype(np.float64), "is float64[5, 16], expected float32[5, 16]"),
        (np.where(TOKENS[2, 3] == TOKENS, np.nan, TOKENS), "not finite"),
        (np.roll(TOKENS, 1, axis=0), "item"),
    ],
)
def test_wrong_values_are_named(found: np.ndarray, expected: str) -> None:
    result = check_values("satellite_pooling", "float32", lambda inputs: {"EMBEDDING": found}, [case(TOKENS)])
    assert any(expected in problem for problem in result.problems), result.problems


def test_every_case_is_reported() -> None:
    cases = [case(TOKENS), case(TOKENS[:1]), case(TOKENS[:2])]
    result = check_values("satellite_pooling", "float32", lambda inputs: {"EMBEDDING": inputs["TOKENS"] * 2}, cases)
    assert sum("differs by" in problem for problem in result.problems) == 3
    assert not check_values("satellite_pooling", "float32", same, []).passed


def test_nan_agrees_with_nan_only() -> None:
    one, other = np.array([1.0, np.nan]), np.array([1.0, 2.0])
    assert relative_difference(one, one) == 0.0
    assert relative_difference(one, other) == relative_difference(other, one) == float("inf")
    assert relative_difference(np.array([np.inf]), np.array([1.0])) == float("inf")


def test_rows_may_change_places_where_scores_tie() -> None:
    scores = np.array([[0.9, 0.5, 0.5, 0.1, 0.0]], np.float32)
    inputs, rows = {"EMBEDDING": scores}, np.array([[3, 1, 2, 4, 0]])
    reference = Case("made", inputs, {"ROW_SCORES": scores, "ROWS": rows})

    def problems(found: list[int]) -> int:
        outputs = {"ROW_SCORES": scores, "ROWS": np.array([found])}
        return len(check_values("similarity", "float32", lambda inputs: outputs, [reference]).problems)

    assert problems([3, 1, 2, 4, 0]) == problems([3, 2, 1, 4, 0]) == 0
    assert problems([1, 3, 2, 4, 0]) == problems([3, 1, 2, 0, 4]) == 1
    assert problems([3, 1, 2, 4, 9]) == 0  # may tie with the last: the gallery gate looks at its score
    for wrong in ([3, 1, 9, 4, 0], [3, 1, 1, 4, 0], [3, 1, 2, 4, 3], [3, 1, 2, 9, 0]):
        assert problems(wrong) == 1, wrong


def test_only_rows_may_change_places() -> None:
    """A digest has 32 numbers, and so has a ranking of 32 rows."""
    scores, digest = np.zeros((1, 32), np.float32), np.arange(32, dtype=np.uint8)[None]
    reference = Case("made", {"EMBEDDING": scores}, {"ROW_SCORES": scores, "GALLERY_DIGEST": digest})
    outputs: dict[str, np.ndarray] = {"ROW_SCORES": scores, "GALLERY_DIGEST": digest[:, ::-1]}
    found = check_values("similarity", "float32", lambda inputs: outputs, [reference])
    assert found.problems == ("GALLERY_DIGEST of made (batch 1): 32 of 32 integers differ",)


def test_cosines() -> None:
    ours, theirs = np.array([[1.0, 0], [0, 0]]), np.array([[1.0, 1], [0, 0]])
    np.testing.assert_allclose(item_cosines(ours, theirs), [0.5**0.5, 1.0])
    alike = np.full((4, 8), 3.0)
    assert centred_cosine(alike, alike) is None
    # Nearly the same vectors, whose small differences are turned around: only the centred cosine sees it.
    spread = alike + 0.05 * random.standard_normal((4, 8))
    turned = spread.mean(axis=0) - (spread - spread.mean(axis=0))
    assert item_cosines(turned, spread).min() > 0.99
    assert centred_cosine(turned, spread) == pytest.approx(-1.0)


def test_rankings() -> None:
    gallery = random.standard_normal((40, 8)).astype(np.float32)
    queries = random.standard_normal((20, 8)).astype(np.float32)
    limits = RETRIEVAL["float32"]
    assert all(result.passed for result in rankings("satellite", queries, queries, gallery, limits))
    top, drop = rankings("satellite", -queries, queries, gallery, limits)
    assert (top.measured, drop.measured) == (0.0, 1.0)
    assert len(top.problems) == len(drop.problems) == 1


def test_rankings_of_few_rows_are_not_all_alike() -> None:
    """Among ten of six rows any ranking keeps the best one."""
    gallery = random.standard_normal((6, 8)).astype(np.float32)
    queries = random.standard_normal((20, 8)).astype(np.float32)
    _, drop = rankings("satellite", -queries, queries, gallery, RETRIEVAL["int8"])
    assert drop.measured is not None
    assert drop.measured > 0.9
    assert "not among the 3 best" in drop.problems[0]


def test_the_interface_gate_lists_everything(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Cast", ["TOKENS"], ["EMBEDDING"], to=TensorProto.DOUBLE)],
        "wrong",
        [value("TOKENS", TensorProto.FLOAT, [2, 196, 255])],
        [value("EMBEDDING", TensorProto.DOUBLE, [2, 196, 255])],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    assert interface_problems(MODELS["satellite_pooling"], DIMENSIONS, path) == [
        "opset 17, expected at least 18",
        "TOKENS has shape [2, 196, 255], expected ['batch', 196, 256] (batch, any: dynamic)",
        "EMBEDDING is DOUBLE, expected FP32",
        "EMBEDDING has shape [2, 196, 255], expected ['batch', 256] (batch, any: dynamic)",
    ]


def test_a_graph_passes_or_fails_as_a_whole(tiny_repository: Path) -> None:
    path = tiny_repository / "audio_pooling" / "1" / "model.onnx"
    contract = MODELS["audio_pooling"]
    tokens = random.standard_normal((3, *DIMENSIONS.resolve(contract.inputs[0]))).astype(np.float32)
    wrong = Case("made", {"TOKENS": tokens}, {"EMBEDDING": np.zeros((3, 256), np.float32)})
    interface, values, neighbours = check_graph(contract, DIMENSIONS, path, "float32", [wrong])
    assert interface.passed
    assert neighbours.passed
    assert not values.passed


def test_the_error_lists_every_problem() -> None:
    results = [
        GateResult("values", "one", problems=("a", "b")),
        GateResult("x", "two"),
        GateResult("y", "two", 1, 1, ("c",)),
    ]
    with pytest.raises(GateFailure) as caught:
        require("no good", results)
    assert caught.value.problems == ("one: a", "one: b", "two: c")
    assert require("good", results[1:2]) == (results[1],)
