"""Hyper-parameters through JSON and back."""

from __future__ import annotations

import argparse
import collections
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from sat2sound.plain_json import from_json, to_json

LEAVES = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text()
    | some.sampled_from([Path("/data/a b"), Path("relative")])
)
WORDS = some.text() | some.sampled_from(["$tuple", "$path", "$namespace", "$items", "$ordered"])
VALUES = some.recursive(
    LEAVES,
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.lists(inner, max_size=3).map(tuple)
        | some.dictionaries(WORDS | some.integers(), inner, max_size=3)
        | some.dictionaries(WORDS, inner, max_size=3).map(collections.OrderedDict)
        | some.dictionaries(some.text(), inner, max_size=3).map(lambda known: argparse.Namespace(**known))
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal in value and, throughout, in type."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, argparse.Namespace):
        return same(vars(one), vars(other))
    if isinstance(one, dict):
        return list(map(repr, one)) == list(map(repr, other)) and all(map(same, one.values(), other.values()))
    return bool(one == other)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_there_and_back(value: Any) -> None:
    text, lost = to_json(value)
    assert lost == []
    assert same(from_json(text), value)


def test_what_cannot_be_kept_is_named() -> None:
    text, lost = to_json({"lr": 1e-4, "model": {"scale": torch.zeros(2)}, "kinds": [b"x"]})
    assert lost == ["hyper_parameters.model.scale (Tensor)", "hyper_parameters.kinds[0] (bytes)"]
    assert from_json(text) == {"lr": 1e-4, "model": {"scale": None}, "kinds": [None]}


@pytest.mark.parametrize("text", ["{", '{"$namespace": 5}', '{"$path": []}', '{"$ordered": 1}', "[" * 100_000])
def test_foreign_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_json(text)
