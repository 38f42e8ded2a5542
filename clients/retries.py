"""Patience with a server that does not answer just now: exponential pauses with jitter, within a budget of time.

Only ServerUnavailable is retried: the server did not take the request. An overloaded server gets longer pauses. The
jitter keeps many clients from coming back at the same moment.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sat2sound.clients.errors import ServerOverloaded, ServerUnavailable

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """seconds: from the first failure until giving up; 0: no retry. first, longest: pauses in seconds."""

    seconds: float = 60.0
    first: float = 0.2
    longest: float = 10.0

    def pause(self, attempt: int, overloaded: bool) -> float:
        """Seconds before retry number `attempt` (from 1): anything from half to all of a doubling pause."""
        span = min(self.longest, self.first * 2.0 ** min(attempt, 30) * (2.0 if overloaded else 1.0))
        return span * random.uniform(0.5, 1.0)  # noqa: S311 (spreading load, no secret)


def patiently(call: Callable[[], Result], patience: Patience) -> Result:
    """The result of `call`, repeated while the server is unavailable. Raises its last error when patience ends."""
    end: float | None = None
    attempt = 0
    while True:
        try:
            return call()
        except ServerUnavailable as error:
            attempt += 1
            end = time.monotonic() + patience.seconds if end is None else end
            pause = patience.pause(attempt, isinstance(error, ServerOverloaded))
            if time.monotonic() + pause > end:
                raise
            time.sleep(pause)
