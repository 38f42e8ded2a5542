"""The HTTP side: kserve's v1 and v2 endpoints behind the guard, metrics, TLS whose certificate may be renewed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, ORJSONResponse
from kserve.errors import InferenceError, ModelNotFound, ModelNotReady, ServerNotReady
from kserve.errors import InvalidInput as KServeInvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp

from sat2sound.errors import ConfigurationError, Sat2SoundError
from sat2sound.serving.gateway.certificates import follow
from sat2sound.serving.gateway.context import current
from sat2sound.serving.gateway.errors import RETRY_AFTER_SECONDS, answer_for, message_for
from sat2sound.serving.gateway.logs import LOGGER
from sat2sound.serving.gateway.metrics import GatewayMetrics
from sat2sound.serving.gateway.refusals import NotOffered
from sat2sound.serving.gateway.settings import GatewaySettings


class ClosedRepository(ModelRepositoryExtension):  # type: ignore[misc]
    """Models are loaded and unloaded by the operator of Triton only."""

    async def load(self, model_name: str) -> None:
        """Refused."""
        raise NotOffered("models are not loaded through this gateway")

    async def unload(self, model_name: str) -> None:
        """Refused."""
        raise NotOffered("models are not unloaded through this gateway")


_KSERVE_ERRORS = (KServeInvalidInput, InferenceError, ModelNotFound, ModelNotReady, ServerNotReady)


def application(data_plane: DataPlane, metrics: GatewayMetrics) -> FastAPI:
    """kserve's endpoints; those that load and unload models refuse."""
    app = FastAPI(title="Sat2Sound", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.default_response_class = ORJSONResponse
    app.add_api_route("/", data_plane.live, methods=["GET"])
    app.add_api_route("/metrics", _exposition(metrics), methods=["GET"])
    register_v1_endpoints(app, data_plane, None)
    register_v2_endpoints(app, data_plane, ClosedRepository(data_plane.model_registry))
    for kind in (Sat2SoundError, *_KSERVE_ERRORS, Exception):
        app.add_exception_handler(kind, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    return app


def _exposition(metrics: GatewayMetrics) -> Callable[[], Response]:
    def expose() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return expose


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    row = answer_for(error)
    current().note(row.outcome)
    if row.outcome == "failed":
        LOGGER.error("a request failed: %s", error, exc_info=error if row.http == 500 else None)
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if row.retry else {}
    return JSONResponse({"error": message_for(error)}, status_code=row.http, headers=headers)


async def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    current().note("invalid")
    details = error.errors() if isinstance(error, RequestValidationError) else []
    problems = "; ".join(f"{'.'.join(map(str, entry['loc'][1:]))}: {entry['msg']}" for entry in details[:10])
    return JSONResponse({"error": f"the body is not an inference request: {problems}"}, status_code=400)


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 gets a free one. Raises ConfigurationError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"the gateway cannot listen on {host}:{port} for HTTP: {error.strerror}") from None
    return bound


class RestServer(uvicorn.Server):
    """uvicorn without signal handlers of its own: the gateway decides when to stop."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        certificate, key = settings.tls_certificate_file, settings.tls_key_file
        tls: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": key} if certificate else {}
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=65, server_header=False, **tls
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Until should_exit is set. A renewed certificate file is taken up."""
        self.config.load()
        certificate, key = self.config.ssl_certfile, self.config.ssl_keyfile
        following = None
        if self.config.ssl is not None and certificate and key:
            following = asyncio.create_task(follow(self.config.ssl, Path(certificate), Path(key)))
        try:
            await super().serve(sockets=sockets)
        finally:
            if following is not None:
                following.cancel()
