"""Splitting lists into requests."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sat2sound.clients.batches import item_sizes, split
from sat2sound.clients.inputs import bytes_array


@given(st.lists(st.integers(0, 100)), st.integers(1, 9), st.integers(1, 200))
def test_every_item_once_in_order_within_the_limits(sizes: list[int], max_items: int, max_bytes: int) -> None:
    parts = list(split(sizes, max_items, max_bytes))
    assert [index for part in parts for index in part] == list(range(len(sizes)))
    for part in parts:
        assert 1 <= len(part) <= max_items
        assert len(part) == 1 or sum(sizes[index] for index in part) <= max_bytes
    for part, following in pairwise(parts):  # no request is smaller than it has to be
        assert len(part) == max_items or sum(sizes[i] for i in part) + sizes[following[0]] > max_bytes


def test_item_sizes_count_every_input() -> None:
    inputs = {"IMAGE": bytes_array([b"abc", b"\0\0"]), "HOUR": np.zeros((2, 1), np.int32)}
    assert item_sizes(inputs) == [7, 6]
