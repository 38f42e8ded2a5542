"""What the gateway refuses by itself, and the one table from any error to an answer over HTTP and gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import grpc
from kserve.errors import InvalidInput as KServeInvalidInput
from kserve.errors import ModelNotFound, ModelNotReady, ServerNotReady

from sat2sound.clients import errors as client
from sat2sound.clients.tiles import TileError
from sat2sound.errors import ConfigurationError, InvalidInput, Sat2SoundError

Outcome = Literal["ok", "invalid", "refused", "failed"]
RETRY_AFTER_SECONDS = 1


class GatewayError(Sat2SoundError):
    """Base of what the gateway itself refuses. reason: label of the refused counter."""

    reason = "other"


class Unauthenticated(GatewayError):
    """No valid bearer token."""

    reason = "unauthenticated"

    def __init__(self) -> None:
        super().__init__("no valid bearer token; send the header 'Authorization: Bearer <token>'")


class TooLarge(GatewayError):
    """The request's body exceeds the limit."""

    reason = "too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request is larger than {limit:,} bytes; send fewer or smaller images")


class Overloaded(GatewayError):
    """As many requests as allowed are being answered and waiting."""

    reason = "overload"

    def __init__(self) -> None:
        super().__init__("too many requests at once; retry later and with fewer at a time")


class Draining(GatewayError):
    """The gateway is stopping."""

    reason = "draining"

    def __init__(self) -> None:
        super().__init__("this gateway is shutting down; retry: another one will answer")


class NotOffered(GatewayError):
    """The protocol has the method, this gateway does not offer it."""

    reason = "not_offered"


class FetchError(Sat2SoundError):
    """An image reference could not be fetched."""


@dataclass(frozen=True)
class Answer:
    """How an error is answered. retry: whether the same request may succeed later."""

    http: int
    grpc: grpc.StatusCode
    outcome: Outcome
    retry: bool = False


_Code = grpc.StatusCode
INTERNAL = Answer(500, _Code.INTERNAL, "failed")
# From special to general: the first row whose class fits counts.
ANSWERS: dict[type[Exception], Answer] = {
    Unauthenticated: Answer(401, _Code.UNAUTHENTICATED, "refused"),
    TooLarge: Answer(413, _Code.RESOURCE_EXHAUSTED, "refused"),
    Overloaded: Answer(429, _Code.RESOURCE_EXHAUSTED, "refused", retry=True),
    Draining: Answer(503, _Code.UNAVAILABLE, "refused", retry=True),
    NotOffered: Answer(403, _Code.PERMISSION_DENIED, "refused"),
    client.InvalidRequest: Answer(400, _Code.INVALID_ARGUMENT, "invalid"),
    client.RequestTooLarge: Answer(413, _Code.RESOURCE_EXHAUSTED, "invalid"),
    client.ServerOverloaded: Answer(429, _Code.RESOURCE_EXHAUSTED, "refused", retry=True),
    client.ServerUnavailable: Answer(503, _Code.UNAVAILABLE, "failed", retry=True),
    client.DeadlineExceeded: Answer(504, _Code.DEADLINE_EXCEEDED, "failed"),
    client.RequestCancelled: Answer(499, _Code.CANCELLED, "invalid"),
    client.NotServed: Answer(502, _Code.INTERNAL, "failed"),
    client.ClientError: Answer(502, _Code.INTERNAL, "failed"),
    FetchError: Answer(502, _Code.UNAVAILABLE, "failed"),
    TileError: Answer(502, _Code.UNAVAILABLE, "failed"),
    ModelNotFound: Answer(404, _Code.NOT_FOUND, "invalid"),
    ModelNotReady: Answer(503, _Code.UNAVAILABLE, "failed", retry=True),
    ServerNotReady: Answer(503, _Code.UNAVAILABLE, "failed", retry=True),
    KServeInvalidInput: Answer(400, _Code.INVALID_ARGUMENT, "invalid"),
    InvalidInput: Answer(400, _Code.INVALID_ARGUMENT, "invalid"),
    ConfigurationError: INTERNAL,
}


def answer_for(error: BaseException) -> Answer:
    """The row for an error; whatever is not listed is our fault."""
    return next((row for kind, row in ANSWERS.items() if isinstance(error, kind)), INTERNAL)


def message_for(error: BaseException) -> str:
    """What the caller is told. An unexpected error's own text stays in the log: it may hold what is not for callers."""
    if answer_for(error) is INTERNAL:
        return "the gateway failed at this request; its log says why, under the request's id"
    return str(error)
