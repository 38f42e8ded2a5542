"""Patience: only what may succeed later is tried again, in growing jittered pauses, within a budget."""

from __future__ import annotations

import asyncio
import time

import pytest

from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import (
    AccessDenied,
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    NotServed,
    RequestCancelled,
    RequestTooLarge,
    ServerDraining,
    ServerFault,
    ServerOverloaded,
    ServerUnreachable,
)
from sat2sound.clients.retries import BRIEF, DRAINING_TRIES, Patience, RetryBudget, patiently, patiently_async

NEVER = [
    kind("no")
    for kind in (
        AccessDenied,
        DeadlineExceeded,
        InvalidRequest,
        NotServed,
        RequestCancelled,
        RequestTooLarge,
        ServerFault,
    )
]
QUICK = Patience(seconds=0.4, first=0.01, longest=0.05)


def tried(call: Flaky, patience: Patience, budget: RetryBudget | None = None, seconds: float = 60.0) -> int:
    return patiently(call, patience, budget or RetryBudget(None), Deadline(seconds))


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
    assert tried(Flaky(4, error), QUICK) == 5


@pytest.mark.parametrize("error", NEVER)
def test_the_rest_is_not(error: ClientError) -> None:
    flaky = Flaky(1, error)
    with pytest.raises(type(error)):
        tried(flaky, QUICK)
    assert flaky.calls == 1


def test_patience_ends() -> None:
    start = time.monotonic()
    flaky = Flaky(10_000, ServerUnreachable("away"))
    with pytest.raises(ServerUnreachable):
        tried(flaky, QUICK)
    assert time.monotonic() - start < 5
    assert 5 <= flaky.calls <= 60
    flaky = Flaky(1, ServerUnreachable("away"))
    with pytest.raises(ServerUnreachable):
        tried(flaky, Patience(seconds=0.0))
    assert flaky.calls == 1


def test_pauses_grow_to_a_limit_with_jitter() -> None:
    patience = Patience(first=1.0, longest=8.0)
    for attempt, span in ((1, 2.0), (2, 4.0), (3, 8.0), (9, 8.0)):
        pauses = {patience.pause(attempt, overloaded=False) for _ in range(50)}
        assert span / 2 <= min(pauses) < max(pauses) <= span
    assert patience.pause(1, overloaded=True) >= 2.0


def test_a_full_queue_is_left_alone_unless_that_was_chosen() -> None:
    flaky = Flaky(1, ServerOverloaded("full"))
    with pytest.raises(ServerOverloaded):
        tried(flaky, BRIEF)
    assert flaky.calls == 1


def test_tries_are_counted() -> None:
    flaky = Flaky(10, ServerUnreachable("away"))
    with pytest.raises(ServerUnreachable):
        tried(flaky, Patience(seconds=5, first=0.001, tries=4))
    assert flaky.calls == 4


def test_no_pause_outlasts_the_deadline() -> None:
    flaky = Flaky(10, ServerUnreachable("away"))
    start = time.monotonic()
    with pytest.raises(ServerUnreachable):
        tried(flaky, Patience(seconds=60, first=5.0), seconds=1.0)
    assert time.monotonic() - start < 1
    assert flaky.calls == 1


def test_the_budget_bounds_the_retries_of_all_requests_together() -> None:
    patience = Patience(seconds=5, first=0.0001, longest=0.0001, tries=3, share=0.1)
    budget, calls = RetryBudget(patience.share), 0
    for _ in range(200):  # a server that is gone for all
        flaky = Flaky(10, ServerUnreachable("away"))
        with pytest.raises(ServerUnreachable):
            tried(flaky, patience, budget)
        calls += flaky.calls
    assert calls == 200 + 10
    for _ in range(55):  # back again: a tenth of the successes may be retries
        assert tried(Flaky(0, ServerUnreachable("")), patience, budget) == 1
    spent = 0
    while budget.spend():
        spent += 1
    assert spent == 5


def test_the_same_without_blocking_the_event_loop() -> None:
    async def both() -> tuple[int, int]:
        flaky, ticks = Flaky(3, ServerUnreachable("away")), 0

        async def call() -> int:
            return flaky()

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        result = await patiently_async(call, Patience(seconds=5, first=0.05), RetryBudget(None), Deadline(5))
        ticking.cancel()
        return result, ticks

    result, ticks = asyncio.run(both())
    assert result == 4
    assert ticks > 10


def test_a_server_that_is_being_stopped_costs_tries_but_no_budget() -> None:
    budget = RetryBudget(BRIEF.share)
    assert tried(Flaky(DRAINING_TRIES, ServerDraining("going")), BRIEF, budget) == DRAINING_TRIES + 1
    assert sum(budget.spend() for _ in range(20)) == 10
    flaky = Flaky(1000, ServerDraining("going"))
    with pytest.raises(ServerDraining):
        tried(flaky, BRIEF)
    assert flaky.calls == DRAINING_TRIES + (BRIEF.tries or 0)
    flaky = Flaky(1, ServerDraining("going"))
    with pytest.raises(ServerDraining):
        tried(flaky, Patience(seconds=0.0))
    assert flaky.calls == 1
