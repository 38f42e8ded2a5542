"""The one table from any error to an answer over HTTP and gRPC."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from kserve.errors import InvalidInput as KServeInvalidInput
from kserve.errors import ModelNotFound, ModelNotReady, ServerNotReady

from sat2sound.clients import errors as client
from sat2sound.clients.tiles import TileError
from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.serving.gateway.context import Outcome
from sat2sound.serving.gateway.refusals import (
    Draining,
    FetchError,
    NotOffered,
    Overloaded,
    TooLarge,
    TooSlow,
    Unauthenticated,
)

RETRY_AFTER_SECONDS = 1


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
    TooSlow: Answer(408, _Code.DEADLINE_EXCEEDED, "refused"),
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
    NotImplementedError: Answer(501, _Code.UNIMPLEMENTED, "invalid"),  # kserve's, of versions of a model
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
