"""Callers' values become the contract's arrays, or a refusal that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sat2sound.clients.calls import ImageOptions
from sat2sound.clients.inputs import (
    MISSING,
    NUMPY_TYPES,
    bytes_array,
    condition_arrays,
    embedding_array,
    file_bytes,
    option_arrays,
    pixel_array,
)
from sat2sound.contract import CONDITIONS, IMAGE_OPTIONS, MODELS
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import Conditions


def test_options_are_those_of_the_contract() -> None:
    assert set(ImageOptions.__annotations__) == {tensor.name.lower() for tensor in IMAGE_OPTIONS}
    optional = [tensor for model in MODELS.values() for tensor in model.inputs if tensor.optional]
    assert {tensor.datatype for tensor in optional} <= set(MISSING)
    assert {tensor.datatype for model in MODELS.values() for tensor in model.inputs} <= set(NUMPY_TYPES)


def test_one_value_for_all_or_one_for_each() -> None:
    arrays = option_arrays({"month": 7, "latitude": [1.5, None], "satellite": ["aerial", None], "hour": None}, 2)
    assert set(arrays) == {"MONTH", "LATITUDE", "SATELLITE"}
    assert arrays["MONTH"].dtype == np.int32
    assert arrays["MONTH"].tolist() == [[7], [7]]
    assert arrays["LATITUDE"].dtype == np.float32
    assert arrays["LATITUDE"][0] == 1.5
    assert np.isnan(arrays["LATITUDE"][1, 0])
    assert arrays["SATELLITE"].tolist() == [[b"aerial"], [b""]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"month": 6.5}, "month is .*whole number"),
        ({"hour": 2**31}, "hour is .*whole number"),
        ({"hour": float("nan")}, "hour is .*whole number"),
        ({"latitude": "north"}, "latitude is .*finite number"),
        ({"gsd": float("inf")}, "gsd is .*finite number"),
        ({"longitude": [1.0, 2.0, 3.0]}, "longitude has 3 values for 2 images"),
    ],
)
def test_values_that_the_type_cannot_hold(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        option_arrays(options, 2)


def test_bytes_keep_their_trailing_zeros() -> None:
    assert bytes_array([b"a\0\0", b"\0"]).tolist() == [[b"a\0\0"], [b"\0"]]


def test_files_by_path_or_bytes(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(b"123")
    assert file_bytes([b"0", path, str(path)]) == [b"0", b"123", b"123"]
    assert file_bytes(path) == [b"123"]
    with pytest.raises(InvalidInput, match=r"cannot read .*absent.*No such file"):
        file_bytes(tmp_path / "absent")


def test_conditions_for_all_or_for_each() -> None:
    known = Conditions(gsd=0.3, month=7)
    shared = condition_arrays(known, 2)
    assert list(shared) == [tensor.name for tensor in CONDITIONS]
    assert shared["GSD"].tolist() == [[np.float32(0.3)], [np.float32(0.3)]]
    for name, column in condition_arrays(known.as_array(), 2).items():  # one row of seven numbers
        assert np.array_equal(column, shared[name], equal_nan=True)
    each = condition_arrays([known, [0.3, 1, 2, 3, 4, 1, 2]], 2)
    assert each["MONTH"].tolist() == [[7.0], [3.0]]
    with pytest.raises(InvalidInput, match="3 rows for 2 images"):
        condition_arrays([known] * 3, 2)
    with pytest.raises(InvalidInput, match="7 numbers"):
        condition_arrays(np.zeros((2, 6)), 2)
    with pytest.raises(InvalidInput, match=r"item 0: month is 13; .*item 2: hour is 24"):
        condition_arrays([Conditions(0.3, month=13), known, Conditions(0.3, hour=24)], 3)


def test_vectors_must_be_numbers() -> None:
    assert embedding_array([3.0, 4.0], "queries").shape == (1, 2)
    assert embedding_array(np.zeros((0, 256)), "queries").shape == (0, 256)
    with pytest.raises(InvalidInput, match="queries are not an array of numbers"):
        embedding_array([[1.0], [1.0, 2.0]], "queries")
    with pytest.raises(InvalidInput, match=r"^item 0: .*zero or not finite.*; item 2: "):
        embedding_array(np.diag([0.0, 1.0, np.nan]), "queries")


def test_pixels_have_one_shape_and_type() -> None:
    assert pixel_array(np.zeros((224, 224, 3), np.uint8)).shape == (1, 224, 224, 3)
    with pytest.raises(InvalidInput, match=r"float64 \[1, 224, 224, 3\]"):
        pixel_array(np.zeros((1, 224, 224, 3)))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="prepare_satellite"):
        pixel_array(np.zeros((1, 3, 224, 224), np.uint8))
