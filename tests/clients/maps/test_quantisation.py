from __future__ import annotations

import numpy as np
import pytest

from sat2sound.clients.maps.quantisation import STORED_TYPES, StoredType, check_stored_type, decode, encode
from sat2sound.errors import InvalidInput


def units(kind: str, dimensions: int) -> np.ndarray:
    random = np.random.default_rng(2)
    values = random.standard_normal((500, dimensions))
    if kind == "peaked":
        values = np.sign(values) * np.abs(values) ** 3
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("dimensions", [256, 1024])
@pytest.mark.parametrize("kind", ["even", "peaked"])
@pytest.mark.parametrize("stored", STORED_TYPES)
def test_stored_embeddings_point_where_they_did(stored: StoredType, kind: str, dimensions: int) -> None:
    embeddings = units(kind, dimensions)
    values, scales = encode(embeddings, stored)
    assert values.dtype == stored
    assert (scales is not None) == (stored == "int8")
    decoded = decode(values, scales)
    cosines = (embeddings * decoded).sum(axis=1) / np.linalg.norm(decoded, axis=1)
    assert cosines.min() >= {"float32": 1 - 1e-6, "float16": 0.99999, "int8": 0.999}[stored]
    if stored == "float32":
        np.testing.assert_array_equal(decoded, embeddings)


def test_a_zero_vector_stays_one() -> None:
    values, scales = encode(np.zeros((1, 8), np.float32), "int8")
    assert not decode(values, scales).any()


def test_unknown_types() -> None:
    assert check_stored_type("int8") == "int8"
    with pytest.raises(InvalidInput, match="float32, float16, int8"):
        check_stored_type("int4")
