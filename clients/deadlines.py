"""One moment until which everything that a call of the library does must be finished: splitting, retrying, waiting."""

from __future__ import annotations

import time

from sat2sound.clients.errors import DeadlineExceeded
from sat2sound.errors import InvalidInput

DEFAULT_DEADLINE_SECONDS = 60.0


class Deadline:
    """A moment until which everything that one call of the library does must be finished."""

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds < float("inf"):
            raise InvalidInput(
                f"the deadline is {seconds} seconds", expected="a positive number of seconds", fix="choose e.g. 60"
            )
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left. Raises DeadlineExceeded when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> DeadlineExceeded:
        """What is raised when the moment has come."""
        return DeadlineExceeded(
            f"the call was not finished within {self.seconds:g} seconds",
            fix="raise the deadline or send fewer items",
            status="DEADLINE_EXCEEDED",
        )

    def allows(self, seconds: float) -> bool:
        """Whether there is more time left than this."""
        return self._end - time.monotonic() > seconds
