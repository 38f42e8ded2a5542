"""The order of a streamed training: every row once, random, and near each other for whoever reads them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sat2sound.data.passes import PassShape
from sat2sound.data.stream_order import StreamOrder, stream_order

SHAPE = PassShape(8, 6)
SIZES = np.array([5, 3, 8, 1, 7, 6, 2, 4, 9, 3])  # 48 rows


def make(seed: int = 0, window: int = 6, workers: int = 1, shape: PassShape = SHAPE) -> StreamOrder:
    return stream_order(SIZES, shape, window, workers, np.random.default_rng(seed))


def rows(order: StreamOrder, shape: PassShape = SHAPE) -> list[int]:
    return [order.row(place) for place in range(shape.places)]


@given(
    sizes=some.lists(some.integers(1, 9), min_size=1, max_size=12),
    processes=some.sampled_from([1, 2, 3]),
    workers=some.integers(1, 3),
    window=some.integers(1, 20),
    seed=some.integers(0, 5),
)
def test_every_row_is_in_one_place_at_most(sizes, processes, workers, window, seed) -> None:  # type: ignore[no-untyped-def]
    shape = PassShape(sum(sizes) // 6, 6, processes)
    order = stream_order(np.array(sizes), shape, window, workers, np.random.default_rng(seed))
    found = rows(order, shape)
    assert len(set(found)) == len(found) == shape.places > sum(sizes) - 6 * shape.batches - 6
    for place, row in enumerate(found):
        held, following = order.groups(place)
        group = order.group_of(row)
        assert group in held
        assert sum(sizes[:group]) <= row < sum(sizes[: group + 1])
        assert order.group_of(order.row(place, attempt=3)) in held  # a substitute costs no reading
        assert len(held) <= window
        assert len(following) <= window


def test_the_same_again_and_another_one_in_the_next_pass() -> None:
    assert rows(make(1)) == rows(make(1))
    assert rows(make(1)) != rows(make(2))
    assert sorted(rows(make(1))) == sorted(rows(make(2))) == list(range(48))


def test_rows_that_lie_together_are_torn_apart() -> None:
    """Neighbours of a batch are neighbours of the data as often as chance has it."""
    sizes = np.full(100, 10)
    shape = PassShape(100, 10)
    order = stream_order(sizes, shape, 200, 1, np.random.default_rng(0))
    groups = [order.group_of(order.row(place)) for place in range(shape.places)]
    same = sum(one == two for one, two in itertools.pairwise(groups))
    assert same < 0.1 * len(groups)
    assert len(set(groups[:10])) >= 5


@pytest.mark.parametrize(("processes", "workers"), [(2, 1), (1, 3), (2, 3)])
def test_each_process_and_worker_reads_row_groups_of_its_own(processes: int, workers: int) -> None:
    shape = PassShape(8, 6, processes)
    order = make(workers=workers, shape=shape)
    read: dict[tuple[int, int], set[int]] = {}
    for place in range(shape.places):
        batch, within = divmod(place, shape.batch)
        reader = within // (shape.batch // processes), batch % workers
        read.setdefault(reader, set()).update(order.groups(place)[0])
    assert len(read) == processes * workers
    # Only a row group at the border of two lanes is read twice.
    assert sum(map(len, read.values())) <= len(SIZES) + processes * workers - 1


def test_the_next_window_is_that_of_the_same_reader() -> None:
    shape = PassShape(8, 6, 2)
    order = make(window=5, shape=shape)
    places = [place for place in range(shape.places) if place % 6 < 3]  # what the first process reads, in this order
    for now, then in zip(places, places[5:], strict=False):
        assert order.groups(then)[0] in (order.groups(now)[1], order.groups(now)[0])
    assert order.groups(places[-1])[1] == ()
