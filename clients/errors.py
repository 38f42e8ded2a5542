"""Every exception that the client raises about a server. Which gRPC status becomes which: `sat2sound.clients.statuses`.

Sat2SoundError
|-- InvalidInput              refused before anything was sent (sat2sound.errors)
`-- ClientError               base of all below; .status is the gRPC status name, .fix says what to do
    |-- InvalidRequest        the server examined the request and refused it (also a ValueError); .items by index
    |   `-- InvalidItems      some items of a list were refused; the others were served: .results
    |-- RequestTooLarge       a message exceeds the size that client or server accepts
    |-- ServerUnavailable     no answer, now; the same request may succeed later
    |   |-- ServerUnreachable     nothing that speaks gRPC answers at the address
    |   |-- ServerDraining        the server is being stopped; another one may answer
    |   `-- ServerOverloaded      the server's queue is full: retry later and slower, not at once
    |-- DeadlineExceeded      no answer within the deadline (also a TimeoutError)
    |-- RequestRefused        the server answers, but not this
    |   |-- AccessDenied          a token or certificate is missing or wrong
    |   `-- NotServed             it does not serve this model: another server, or another version
    |-- ServerFault           the server failed at a request that it should have served
    `-- RequestCancelled      the call was cancelled, by this program or by the server
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sat2sound.errors import Sat2SoundError


class ClientError(Sat2SoundError):
    """Base. problem: what happened; fix: what to do ("" if the problem says it); status: gRPC status name or ""."""

    def __init__(self, problem: str, *, fix: str = "", status: str = "") -> None:
        self.problem, self.fix, self.status = problem, fix, status
        super().__init__(f"{problem}; to fix it, {fix}" if fix else problem)


class InvalidRequest(ClientError, ValueError):
    """The server refused the request's content. items: index -> what was wrong with it; empty if not about items."""

    def __init__(
        self, problem: str, *, fix: str = "", status: str = "", items: Mapping[int, str] | None = None
    ) -> None:
        super().__init__(problem, fix=fix, status=status)
        self.items = dict(items or {})


class InvalidItems(InvalidRequest):
    """Some items of a list were refused, the rest was served.

    items: index in the caller's list -> what was wrong. results: what the method would have returned, with NaN rows
    (arrays) or None (lists) in the places of the refused items.
    """

    def __init__(self, items: Mapping[int, str], results: Any, total: int) -> None:
        listed = "; ".join(f"item {index}: {reason}" for index, reason in sorted(items.items()))
        super().__init__(
            f"{len(items)} of {total} items were refused: {listed}", status="INVALID_ARGUMENT", items=items
        )
        self.results = results


class RequestTooLarge(ClientError):
    """A message exceeds the size that client or server accepts."""


class ServerUnavailable(ClientError):
    """No answer, now; the same request may succeed later."""


class ServerUnreachable(ServerUnavailable):
    """Nothing that speaks gRPC answers at the address."""


class ServerDraining(ServerUnavailable):
    """The server is being stopped and takes no new requests."""


class ServerOverloaded(ServerUnavailable):
    """The server's queue is full."""


class DeadlineExceeded(ClientError, TimeoutError):
    """No answer within the deadline."""


class RequestRefused(ClientError):
    """The server answers, but not this."""


class AccessDenied(RequestRefused):
    """A token or certificate is missing or wrong."""


class NotServed(RequestRefused):
    """The server does not serve this model or method."""


class ServerFault(ClientError):
    """The server failed at a request that it should have served."""


class RequestCancelled(ClientError):
    """The call was cancelled."""
