"""Patience: only what may succeed later is tried again, in growing jittered pauses, within a budget."""

from __future__ import annotations

import time

import pytest

from sat2sound.clients.errors import ClientError, InvalidRequest, ServerFault, ServerOverloaded, ServerUnreachable
from sat2sound.clients.retries import Patience, patiently

QUICK = Patience(seconds=0.4, first=0.01, longest=0.05)


class Flaky:
    def __init__(self, failures: int, error: ClientError) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return self.calls


@pytest.mark.parametrize("error", [ServerUnreachable("away"), ServerOverloaded("full")])
def test_what_may_succeed_later_is_tried_again(error: ClientError) -> None:
    assert patiently(Flaky(4, error), QUICK) == 5


@pytest.mark.parametrize("error", [InvalidRequest("no"), ServerFault("broken")])
def test_the_rest_is_not(error: ClientError) -> None:
    flaky = Flaky(1, error)
    with pytest.raises(type(error)):
        patiently(flaky, QUICK)
    assert flaky.calls == 1


def test_patience_ends() -> None:
    start = time.monotonic()
    flaky = Flaky(10_000, ServerUnreachable("away"))
    with pytest.raises(ServerUnreachable):
        patiently(flaky, QUICK)
    assert time.monotonic() - start < 5
    assert 5 <= flaky.calls <= 60
    flaky = Flaky(1, ServerUnreachable("away"))
    with pytest.raises(ServerUnreachable):
        patiently(flaky, Patience(seconds=0.0))
    assert flaky.calls == 1


def test_pauses_grow_to_a_limit_with_jitter() -> None:
    patience = Patience(first=1.0, longest=8.0)
    for attempt, span in ((1, 2.0), (2, 4.0), (3, 8.0), (9, 8.0)):
        pauses = {patience.pause(attempt, overloaded=False) for _ in range(50)}
        assert span / 2 <= min(pauses) < max(pauses) <= span
    assert patience.pause(1, overloaded=True) >= 2.0
