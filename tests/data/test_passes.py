"""A pass over a table: all samples once, in an order of its own."""

from __future__ import annotations

from made_pairs import MadePairs

from sat2sound.data.passes import PassShape, TableSource

SHAPE = PassShape(4, 6)


def ids(epoch: int, seed: int = 0, attempt: int = 0) -> list[str]:
    drawn = TableSource(MadePairs()).one_pass(seed, epoch, SHAPE)
    return [drawn.sample(place, attempt).id for place in range(SHAPE.places)]


def test_every_sample_once_in_each_pass() -> None:
    assert sorted(ids(0)) == sorted(sample.id for sample in MadePairs())
    assert ids(0) == ids(0)
    assert len({tuple(ids(0)), tuple(ids(1)), tuple(ids(0, seed=1))}) == 3


def test_a_substitute_is_another_sample() -> None:
    assert all(first != second for first, second in zip(ids(0), ids(0, attempt=1), strict=True))


def test_the_number_of_processes_changes_nothing() -> None:
    source = TableSource(MadePairs())
    one, two = (source.one_pass(0, 0, PassShape(4, 6, processes)) for processes in (1, 2))
    assert [one.sample(place).id for place in range(24)] == [two.sample(place).id for place in range(24)]
