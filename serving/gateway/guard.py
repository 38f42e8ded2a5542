"""What every HTTP request passes: id and trace, token, size, capacity, metrics, one log line, readable errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sat2sound.serving.gateway.capacity import Capacity
from sat2sound.serving.gateway.context import CURRENT, current, from_headers
from sat2sound.serving.gateway.errors import RETRY_AFTER_SECONDS, Answer, answer_for, message_for
from sat2sound.serving.gateway.logs import LOGGER
from sat2sound.serving.gateway.metrics import GatewayMetrics
from sat2sound.serving.gateway.refusals import GatewayError, TooLarge, TooSlow, Unauthenticated
from sat2sound.serving.gateway.tokens import Tokens

# Probes and scrapers hold no token, and must be answered while requests are refused.
OPEN_PATHS = ("/", "/metrics", "/v2/health/live", "/v2/health/ready")
_DISCARD_SECONDS = 10.0
_ROUTE = re.compile(r"/v[12]/models/([^/:]+)(?:/infer|:predict)")


def route_of(path: str, models: frozenset[str]) -> str:
    """A metric label: one of few, whatever paths a caller tries."""
    found = _ROUTE.fullmatch(path)
    return found[1] if found and found[1] in models else "other"


class Guard:
    """ASGI middleware around the whole application.

    max_bytes, body_seconds: how large a body may be, and how long it may take to arrive: it holds a place meanwhile.
    models: names that become route labels.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        capacity: Capacity,
        metrics: GatewayMetrics,
        max_bytes: int,
        body_seconds: float,
        models: frozenset[str],
    ) -> None:
        self._app, self._tokens, self._capacity = app, tokens, capacity
        self._metrics, self._max_bytes, self._body_seconds, self._models = metrics, max_bytes, body_seconds, models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's message stream."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        context = from_headers(headers)
        CURRENT.set(context)
        route, started = route_of(scope["path"], self._models), time.perf_counter()
        answer = _Answer(send, context.request_id)
        try:
            await self._guarded(scope, receive, answer, headers, route)
        except GatewayError as error:
            self._metrics.refused(error.reason)
            if not isinstance(error, TooLarge | TooSlow):
                await self._discard(receive)
            context.note(answer_for(error).outcome)
            await answer.refuse(answer_for(error), message_for(error))
        except Exception as error:
            context.note(answer_for(error).outcome)
            if context.outcome == "failed":
                LOGGER.exception("a request failed")
            await answer.refuse(answer_for(error), message_for(error))
        finally:
            seconds = time.perf_counter() - started
            self._metrics.answered(route, context.outcome, seconds)
            fields = {"route": route, "status": answer.status, "outcome": context.outcome, "seconds": round(seconds, 4)}
            LOGGER.info("%s %s", scope["method"], scope["path"], extra={"fields": fields})

    async def _guarded(
        self, scope: Scope, receive: Receive, answer: _Answer, headers: dict[str, str], route: str
    ) -> None:
        if not self._tokens.admits(headers.get("authorization")):
            raise Unauthenticated
        declared = headers.get("content-length", "0")
        if not declared.isdigit() or int(declared) > self._max_bytes:
            raise TooLarge(self._max_bytes)
        # A body that does not say its length may turn out to be as long as any.
        size = self._max_bytes if "transfer-encoding" in headers else int(declared)
        async with self._capacity.admit(size):
            with self._metrics.in_flight(route):
                # The body is read here, bounded, before anything of it is held elsewhere.
                body = await self._body(receive)
                await self._app(scope, _replayed(body), answer.send)
        if answer.status >= 400:  # also what the framework answers by itself: an unknown path, a wrong method
            current().note("invalid" if answer.status < 500 else "failed")

    async def _discard(self, receive: Receive) -> None:
        """Read a refused body away, keeping nothing: a client that is still sending would miss the answer."""
        left = self._max_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return

    async def _body(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return bytes(body)
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise TooLarge(self._max_bytes)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise TooSlow(self._body_seconds) from None


def _replayed(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class _Answer:
    """Adds the request's id to an answer, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self._request_id = send, request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], (b"x-request-id", self._request_id.encode())]}
        await self._send(message)

    async def refuse(self, row: Answer, text: str) -> None:
        """An error as JSON, unless an answer has begun already."""
        if self.status:
            return
        body = json.dumps({"error": text}).encode()
        headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        if row.retry:
            headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
        if row.http == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        start: dict[str, Any] = {"type": "http.response.start", "status": row.http, "headers": headers}
        await self.send(start)
        await self._send({"type": "http.response.body", "body": body})
