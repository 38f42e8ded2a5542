"""The endpoint captioner against a real local HTTP server: what is sent, repeated, recorded, and what ends a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from caption_endpoint import CaptionEndpoint, completion
from PIL import Image

from sat2sound.captioning.captioner import MAX_NEW_TOKENS, PROMPT, Answer
from sat2sound.captioning.endpoint import ATTEMPTS, FREE_RETRIES, EndpointCaptioner
from sat2sound.captioning.errors import CaptioningError, EndpointRefused, EndpointUnavailable

IMAGE = Image.new("RGB", (30, 20), (10, 200, 30))


@contextmanager
def captioner(url: str, waits: list[float] | None = None, **options: Any) -> Iterator[EndpointCaptioner]:
    made = EndpointCaptioner(url, "llava", wait=([] if waits is None else waits).append, **options)
    try:
        yield made
    finally:
        made.close()


def test_what_is_sent_and_what_comes_back() -> None:
    with (
        CaptionEndpoint(lambda request: (200, completion(" Birds \n sing. "))) as server,
        captioner(server.url + "/", token="secret") as asked,  # noqa: S106
    ):
        assert list(asked.caption([IMAGE])) == [(0, Answer(caption="Birds sing."))]
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer secret"
    assert (request.body["model"], request.body["temperature"]) == ("llava", 0)
    assert request.body["max_tokens"] == MAX_NEW_TOKENS
    assert request.body["messages"][0]["content"][1]["text"] == PROMPT
    assert (request.image.size, request.image.getpixel((0, 0))) == ((30, 20), (10, 200, 30))


def test_what_may_succeed_later_is_repeated_with_growing_waits() -> None:
    replies = [(503, "busy"), (429, "slow", {"Retry-After": "7"}), (500, "oops"), (200, completion("wind"))]
    waits: list[float] = []
    with CaptionEndpoint(lambda request: replies[request.number]) as server, captioner(server.url, waits) as asked:  # type: ignore[arg-type,return-value]
        assert list(asked.caption([IMAGE])) == [(0, Answer(caption="wind"))]
    assert 0.5 <= waits[0] <= 1.0
    assert waits[1] == 7.0
    assert 2.0 <= waits[2] <= 4.0


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((400, "image too large"), "HTTP 400: image too large"),
        ((200, completion("")), "the model answered nothing"),
        ((200, completion(None)), "no text but NoneType"),
        ((200, {"choices": []}), "not a chat completion"),
        ((200, "<html>"), "not a chat completion"),
        ((200, [1]), "not a chat completion"),
    ],
)
def test_an_answer_without_a_caption_is_a_failure_with_its_reason(reply: Any, reason: str) -> None:
    with CaptionEndpoint(lambda request: reply) as server, captioner(server.url) as asked:
        ((_, answer),) = asked.caption([IMAGE])
    assert answer.caption is None
    assert reason in (answer.failure or "")
    assert len(server.requests) == 1


def test_an_image_that_never_succeeds_fails_alone() -> None:
    def reply(request: Any) -> Any:
        return (503, "no") if request.image.size == (1, 1) else (200, completion("rain"))

    with CaptionEndpoint(reply) as server, captioner(server.url) as asked:
        answers = dict(asked.caption([IMAGE, Image.new("RGB", (1, 1)), IMAGE]))
    assert answers[0] == answers[2] == Answer(caption="rain")
    assert answers[1] == Answer(failure=f"HTTP 503: no (after {ATTEMPTS} attempts)")


def test_a_slow_endpoint_times_out() -> None:
    with (
        CaptionEndpoint(lambda request: (200, completion("late")), delay=0.5) as server,
        captioner(server.url, timeout=0.05) as asked,
    ):
        ((_, answer),) = asked.caption([IMAGE])
    assert "Timeout" in (answer.failure or "")


def test_an_endpoint_in_trouble_is_left_alone() -> None:
    with CaptionEndpoint(lambda request: (503, "down")) as server, captioner(server.url, batch=2) as asked:
        with pytest.raises(EndpointUnavailable, match=r"HTTP 503: down.*goes on where it stopped"):
            list(asked.caption([IMAGE] * 40))
        assert FREE_RETRIES < len(server.requests) <= 2 * FREE_RETRIES


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_token_or_address_ends_the_run_at_once(status: int) -> None:
    with CaptionEndpoint(lambda request: (status, "no")) as server, captioner(server.url) as asked:
        with pytest.raises(EndpointRefused, match=str(status)):
            list(asked.caption([IMAGE]))
        assert len(server.requests) == 1


def test_an_address_that_is_none() -> None:
    with pytest.raises(CaptioningError, match="not an http"):
        EndpointCaptioner("localhost:8000", "llava")
