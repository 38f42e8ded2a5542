"""Every gRPC status has its exception, and messages say what to do."""

from __future__ import annotations

import inspect

import grpc
import pytest
from tritonclient.utils import InferenceServerException

from sat2sound.clients import errors
from sat2sound.clients.statuses import MEANINGS, client_error, meaning_of, refused_items
from sat2sound.errors import InvalidInput

STATUSES = [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK]


def error(status: str, message: str) -> errors.ClientError:
    return client_error(InferenceServerException(message, status=f"StatusCode.{status}"), "here:8001")


@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.name)
def test_every_status_is_mapped(status: grpc.StatusCode) -> None:
    assert [row for row in MEANINGS if row.status is status][-1].pattern == ""  # the last row always matches
    row = meaning_of(status, "whatever a future server says")
    raised = error(status.name, "whatever a future server says")
    assert type(raised) is row.error
    assert raised.status == status.name
    assert "whatever a future server says" in str(raised)
    assert row.fix or issubclass(row.error, errors.InvalidRequest)  # there the server's message says what to do
    assert row.fix in str(raised)


def test_the_tree_drawn_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    parents: dict[int, str] = {}
    for line in inspect.getdoc(errors).split("\n"):  # type: ignore[union-attr]
        head, mark, rest = line.partition("-- ")
        if mark and rest.split()[0].isidentifier():
            depth = len(head)
            name = rest.split()[0]
            drawn[name] = next((parents[d] for d in sorted(parents, reverse=True) if d < depth), "Sat2SoundError")
            parents = {d: n for d, n in parents.items() if d < depth} | {depth: name}
    assert drawn.pop(InvalidInput.__name__) == "Sat2SoundError"
    real = {
        name: kind.__mro__[1].__name__
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.ClientError)
    }
    assert drawn == real
    assert len(real) == 14


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; Connection refused", errors.ServerUnreachable),
        ("UNAVAILABLE", "Exceeds maximum queue size", errors.ServerOverloaded),
        ("UNAVAILABLE", "Request timeout expired", errors.ServerOverloaded),
        ("UNAVAILABLE", "Server is stopping, scheduler for model has stopped", errors.ServerDraining),
        ("UNAVAILABLE", "Request for unknown model: 'a' is not at ready state", errors.ServerUnavailable),
        ("NOT_FOUND", "Request for unknown model: 'a' has no available versions", errors.ServerDraining),
        ("UNAVAILABLE", "Ssl handshake failed: certificate verify failed", errors.ServerUnreachable),
        ("UNAVAILABLE", "Trying to connect an http1.x server", errors.ServerUnreachable),
        ("RESOURCE_EXHAUSTED", "CLIENT: Sent message larger than max (5 vs. 4)", errors.RequestTooLarge),
        ("NOT_FOUND", "Request for unknown model: 'embed_text' is not found", errors.NotServed),
    ],
)
def test_the_message_decides_where_one_status_means_several_things(status: str, message: str, kind: type) -> None:
    assert type(error(status, message)) is kind


def test_a_refusal_lists_items_and_drops_the_ensemble() -> None:
    raised = error(
        "INVALID_ARGUMENT", "in ensemble 'embed_satellite', item 0: latitude is 91; to fix it, x; item 12: no"
    )
    assert isinstance(raised, errors.InvalidRequest)
    assert isinstance(raised, ValueError)
    assert raised.items == {0: "latitude is 91; to fix it, x", 12: "no"}
    assert "ensemble" not in str(raised)
    assert refused_items("TOP_K differs within the request") == {}


def test_what_tritonclient_raises_itself_is_ours_too() -> None:
    raised = client_error(InferenceServerException("got unexpected numpy array shape"), "here:8001")
    assert type(raised) is errors.ServerFault
    assert "numpy array shape" in str(raised)
