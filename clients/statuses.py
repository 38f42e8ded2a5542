"""The one table from gRPC statuses to the client's exceptions, and the conversion that applies it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import grpc
from tritonclient.utils import InferenceServerException

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
    ServerUnavailable,
    ServerUnreachable,
)


@dataclass(frozen=True)
class Meaning:
    """One row: what a status means. pattern: only when the server's message matches it; fix: what to do about it."""

    status: grpc.StatusCode
    error: type[ClientError]
    fix: str
    pattern: str = ""


# Triton names the ensemble before a step's message; which ensemble was called, the caller knows.
_ENSEMBLE_PREFIX = re.compile(r"^in ensemble '[^']*',\s*")
_ITEM = re.compile(r"(?:^|;\s|\n)\s*item (\d+): ")

_Code = grpc.StatusCode
_RETRY = "retry the same request; if it persists, read the server's log"
_ELSEWHERE = "retry: this server is shutting down, another one may answer"
# The first row that matches counts. Every status has a row without a pattern (held by a test).
MEANINGS: tuple[Meaning, ...] = (
    Meaning(_Code.INVALID_ARGUMENT, InvalidRequest, ""),  # the server's message says what to do
    Meaning(_Code.OUT_OF_RANGE, InvalidRequest, ""),
    Meaning(_Code.FAILED_PRECONDITION, InvalidRequest, ""),
    Meaning(
        _Code.RESOURCE_EXHAUSTED,
        RequestTooLarge,
        "send fewer or smaller items in one call, or raise max_message_bytes",
        pattern="larger than max",
    ),
    Meaning(_Code.RESOURCE_EXHAUSTED, ServerOverloaded, "retry later and with fewer requests at a time"),
    Meaning(
        _Code.UNAVAILABLE,
        ServerOverloaded,
        "retry later and with fewer requests at a time: an immediate retry makes it worse",
        pattern="maximum queue size|timeout expired|queue",
    ),
    Meaning(
        _Code.UNAVAILABLE,
        AccessDenied,
        "name the file with the key in SAT2SOUND_INFERENCE_KEY_FILE, or ask the gateway",
        pattern="protocol is restricted",
    ),
    Meaning(_Code.UNAVAILABLE, ServerDraining, _ELSEWHERE, pattern="stopping|draining|shutting down"),
    Meaning(_Code.UNAVAILABLE, ServerUnavailable, "retry once the server is ready again", pattern="not at ready"),
    Meaning(
        _Code.UNAVAILABLE,
        ServerUnreachable,
        "see whether the server speaks TLS and which authority signed its certificate (SAT2SOUND_TLS, "
        "SAT2SOUND_TLS_CA_FILE)",
        pattern="handshak|certificate|SSL_|TLS",
    ),
    Meaning(
        _Code.UNAVAILABLE,
        ServerUnreachable,
        "give the gRPC port (8001 unless chosen otherwise), not the HTTP port",
        pattern="http1|HTTP/1|http2 frame|SETTINGS",
    ),
    Meaning(
        _Code.UNAVAILABLE,
        ServerUnreachable,
        "check host and port, start one with `sat2sound serve` if none runs, set SAT2SOUND_TLS=1 if it wants TLS",
    ),
    Meaning(
        _Code.DEADLINE_EXCEEDED, DeadlineExceeded, "raise the deadline, send fewer items, or check the server's load"
    ),
    Meaning(_Code.UNAUTHENTICATED, AccessDenied, "send a valid token or certificate"),
    Meaning(_Code.PERMISSION_DENIED, AccessDenied, "ask the server's operator for access"),
    # what Triton says of a model that a draining server has unloaded
    Meaning(_Code.NOT_FOUND, ServerDraining, _ELSEWHERE, pattern="has no available versions"),
    Meaning(_Code.NOT_FOUND, NotServed, "check that this is a Sat2Sound server of the same version as this client"),
    Meaning(_Code.UNIMPLEMENTED, NotServed, "check that the address is a Triton server's gRPC port"),
    Meaning(_Code.ALREADY_EXISTS, ServerFault, _RETRY),
    Meaning(_Code.ABORTED, ServerFault, _RETRY),
    Meaning(_Code.DATA_LOSS, ServerFault, _RETRY),
    Meaning(_Code.INTERNAL, ServerFault, _RETRY),
    Meaning(_Code.UNKNOWN, ServerFault, _RETRY),
    Meaning(_Code.CANCELLED, RequestCancelled, "repeat the call if that was not intended"),
)


def meaning_of(status: grpc.StatusCode, message: str) -> Meaning:
    """The row for a status with this message. KeyError for OK, which is no error."""
    for row in MEANINGS:
        if row.status is status and re.search(row.pattern, message, re.IGNORECASE):
            return row
    raise KeyError(status)


def refused_items(message: str) -> dict[int, str]:
    """Index -> reason, from a server message "item 0: ...; item 3: ..."; empty if the message lists no items."""
    parts = _ITEM.split(message)
    return {int(index): reason.strip() for index, reason in zip(parts[1::2], parts[2::2], strict=True)}


def client_error(error: InferenceServerException, address: str) -> ClientError:
    """The client's exception for what tritonclient raised. address: named in the message of connection failures."""
    message = str(error.message() or "")
    name = str(error.status() or "").removeprefix("StatusCode.")
    if name not in grpc.StatusCode.__members__:  # raised by tritonclient itself, before or after the call
        return ServerFault(message or "tritonclient failed", fix=_RETRY, status=name)
    row = meaning_of(grpc.StatusCode[name], message)
    problem = _ENSEMBLE_PREFIX.sub("", message).strip() or name
    if row.error is InvalidRequest:
        return InvalidRequest(problem, status=name, items=refused_items(problem))
    if issubclass(row.error, ServerUnavailable | DeadlineExceeded | NotServed):
        problem = f"{address}: {problem}"
    return row.error(problem, fix=row.fix, status=name)
