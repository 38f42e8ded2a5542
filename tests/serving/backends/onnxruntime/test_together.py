from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sat2sound.serving.backends.onnxruntime.together import Arrays, run_together


class Doubler:
    """Doubles X and adds its shape's columns; refuses a batch that holds a NaN, as a graph fails as a whole."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, inputs: Arrays) -> Arrays:
        self.batches.append(len(inputs["X"]))
        if np.isnan(inputs["X"]).any():
            raise ArithmeticError("NaN in the batch")
        return {"Y": 2 * inputs["X"], "N": np.full((len(inputs["X"]), 1), inputs["X"].shape[1])}


def request(rows: int, columns: int = 3, start: float = 0.0) -> Arrays:
    return {"X": (start + np.arange(rows * columns, dtype=np.float32)).reshape(rows, columns)}


def test_requests_of_one_shape_run_as_one_batch() -> None:
    run = Doubler()
    requests = [request(2), request(1, start=10), request(3, start=20)]
    results = run_together(requests, run)
    assert run.batches == [6]
    for inputs, outputs in zip(requests, results, strict=True):
        assert not isinstance(outputs, Exception)
        np.testing.assert_array_equal(outputs["Y"], 2 * inputs["X"])
        assert outputs["N"].tolist() == [[3]] * len(inputs["X"])


def test_other_shapes_and_types_have_batches_of_their_own() -> None:
    run = Doubler()
    double = {"X": request(1)["X"].astype(np.float64)}
    results = run_together([request(2), request(1, columns=5), request(1), double], run)
    assert sorted(run.batches) == [1, 1, 3]
    assert [result["Y"].shape for result in results if not isinstance(result, Exception)] == [
        (2, 3),
        (1, 5),
        (1, 3),
        (1, 3),
    ]


def test_a_request_that_fails_does_not_harm_its_neighbours() -> None:
    run = Doubler()
    bad: Arrays = {"X": np.full((2, 3), np.nan, np.float32)}
    results = run_together([request(1), bad, request(2, start=7)], run)
    assert run.batches == [5, 1, 2, 2]
    assert isinstance(results[1], ArithmeticError)
    good = [result for result in results if not isinstance(result, Exception)]
    assert [part["Y"].tolist() for part in good] == [[[0, 2, 4]], [[14, 16, 18], [20, 22, 24]]]


def test_a_lone_request_is_not_tried_twice() -> None:
    run = Doubler()
    (result,) = run_together([{"X": np.full((1, 3), np.nan, np.float32)}], run)
    assert isinstance(result, ArithmeticError)
    assert run.batches == [1]


@pytest.mark.parametrize("count", [0, 1])
def test_few_requests(count: int) -> None:
    assert len(run_together([request(1)] * count, Doubler())) == count


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.booleans()), max_size=8))
def test_every_request_gets_its_own_answer(shapes: list[tuple[int, int, bool]]) -> None:
    requests: list[Arrays] = []
    for number, (rows, columns, bad) in enumerate(shapes):
        inputs = request(rows, columns, start=100.0 * number)
        requests.append({"X": inputs["X"] * np.nan} if bad else inputs)
    results = run_together(requests, Doubler())
    for inputs, (_, _, bad), outputs in zip(requests, shapes, results, strict=True):
        if bad:
            assert isinstance(outputs, ArithmeticError)
        else:
            assert not isinstance(outputs, Exception)
            np.testing.assert_array_equal(outputs["Y"], 2 * inputs["X"])
