"""What belongs to one request on its way through: its id, W3C trace context, and headers for Triton."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "invalid", "refused", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "invalid", "refused", "failed")  # from best to worst
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,512}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass
class RequestContext:
    """request_id: the caller's if it is a plain word, else new. traceparent: W3C; a new trace if none was sent.

    outcome: the worst that came of it so far; one object for all tasks that work on the request.
    """

    request_id: str
    traceparent: str
    tracestate: str = ""
    outcome: Outcome = "ok"

    def note(self, outcome: Outcome) -> None:
        """Something came of a part of the request: remembered if it is worse than what did before."""
        self.outcome = max(self.outcome, outcome, key=OUTCOMES.index)

    @property
    def trace_id(self) -> str:
        """The trace that this request belongs to, 32 hexadecimal digits."""
        return self.traceparent[3:35]

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Headers that go on to Triton."""
        pairs = (("x-request-id", self.request_id), ("traceparent", self.traceparent), ("tracestate", self.tracestate))
        return tuple(pair for pair in pairs if pair[1])


CURRENT: ContextVar[RequestContext | None] = ContextVar("sat2sound_request", default=None)


def from_headers(headers: Mapping[str, str]) -> RequestContext:
    """The context of a request with these headers (lower-case names)."""
    request_id = headers.get("x-request-id", "")
    parent, state = headers.get("traceparent", ""), headers.get("tracestate", "")
    if not _TRACEPARENT.fullmatch(parent):
        parent, state = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01", ""
    return RequestContext(
        request_id if _REQUEST_ID.fullmatch(request_id) else secrets.token_hex(8),
        parent,
        state if _PRINTABLE.fullmatch(state) else "",
    )


def current() -> RequestContext:
    """The context of the request being answered; a new one outside of any."""
    return CURRENT.get() or from_headers({})
