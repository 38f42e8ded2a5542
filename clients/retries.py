"""Which failed requests are sent again, when, and how many at most.

| failure | sent again | because |
|---|---|---|
| ServerUnreachable, ServerUnavailable | yes | the server is gone or starting; another may answer |
| ServerDraining | yes, soon and at no cost to the budget | refusing takes it no work, and another may answer at once |
| ServerOverloaded | only where `overloaded` is chosen | a retry makes a full queue fuller |
| DeadlineExceeded | no | the caller's time is over, and the server may still be working on it |
| InvalidRequest, RequestTooLarge, RequestRefused | no | the answer would be the same |
| ServerFault, RequestCancelled | no | the request itself may be what the server fails at; cancelled on purpose |

Every inference is idempotent, so that a request which was served without its answer arriving may be sent again. The
pauses double, and jitter keeps many clients from coming back at the same moment. The budget bounds retries to a share
of what succeeds: when a server fails for all, the load on it stays nearly what it was.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import ClientError, ServerDraining, ServerOverloaded, ServerUnavailable

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """seconds: from the first failure until giving up; 0: no retry. tries: in all, None for as many as fit.

    first, longest: pauses in seconds. overloaded: whether a full queue is waited out, too. share: retries for each
    request that succeeds, once the first ten are spent; None: no budget.
    """

    seconds: float = 60.0
    first: float = 0.2
    longest: float = 10.0
    tries: int | None = None
    overloaded: bool = True
    share: float | None = None

    def pause(self, attempt: int, overloaded: bool) -> float:
        """Seconds before retry number `attempt` (from 1): anything from half to all of a doubling pause."""
        span = min(self.longest, self.first * 2.0 ** min(attempt, 30) * (2.0 if overloaded else 1.0))
        return span * random.uniform(0.5, 1.0)  # noqa: S311 (spreading load, no secret)


# A server that is being stopped among others that serve: requests find one of these within a few tries.
DRAINING_TRIES = 20
_DRAINING_PAUSE_SECONDS = 0.05

# For a program that waits for an answer: over a lost connection or one server of several, and no further.
BRIEF = Patience(seconds=10.0, first=0.1, longest=2.0, tries=3, overloaded=False, share=0.1)


class RetryBudget:
    """A token bucket that all requests of a client share. Thread-safe."""

    CAPACITY = 10.0

    def __init__(self, share: float | None) -> None:
        self._share, self._tokens, self._lock = share, self.CAPACITY, threading.Lock()

    def earn(self) -> None:
        """A request has succeeded."""
        if self._share is not None:
            with self._lock:
                self._tokens = min(self.CAPACITY, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether one more retry is in the budget; if so, it is taken out."""
        if self._share is None:
            return True
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


class Tries:
    """The tries of one request: says how long to pause after each failure, or that there is to be no other."""

    def __init__(self, patience: Patience, budget: RetryBudget, deadline: Deadline) -> None:
        self._patience, self._budget, self._deadline = patience, budget, deadline
        self._failures, self._drained, self._end = 0, 0, float("inf")

    def pause_after(self, error: ClientError) -> float:
        """Seconds to pause before the next try. Raises `error` if it must not or need not be tried again."""
        patience, overloaded = self._patience, isinstance(error, ServerOverloaded)
        if self._end == float("inf"):
            self._end = time.monotonic() + patience.seconds
        if isinstance(error, ServerDraining) and self._drained < DRAINING_TRIES:
            self._drained += 1
            pause = _DRAINING_PAUSE_SECONDS * random.uniform(0.1, 1.0)  # noqa: S311 (spreading load, no secret)
            if time.monotonic() + pause < self._end and self._deadline.allows(pause):
                return pause
            raise error
        self._failures += 1
        pause = patience.pause(self._failures, overloaded)
        if (
            not isinstance(error, ServerUnavailable)
            or (overloaded and not patience.overloaded)
            or (patience.tries is not None and self._failures >= patience.tries)
            or time.monotonic() + pause > self._end
            or not self._deadline.allows(pause)
            or not self._budget.spend()
        ):
            raise error
        return pause


def patiently(call: Callable[[], Result], patience: Patience, budget: RetryBudget, deadline: Deadline) -> Result:
    """The result of `call`, repeated as `patience` says. Raises its last error."""
    tries = Tries(patience, budget, deadline)
    while True:
        try:
            result = call()
        except ClientError as error:
            pause = tries.pause_after(error)
        else:
            budget.earn()
            return result
        time.sleep(pause)


async def patiently_async(
    call: Callable[[], Awaitable[Result]], patience: Patience, budget: RetryBudget, deadline: Deadline
) -> Result:
    """As `patiently`, without blocking the event loop."""
    tries = Tries(patience, budget, deadline)
    while True:
        try:
            result = await call()
        except ClientError as error:
            pause = tries.pause_after(error)
        else:
            budget.earn()
            return result
        await asyncio.sleep(pause)
