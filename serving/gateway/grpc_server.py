"""The gRPC side: kserve's service with a token on every method, limits, TLS, and no way to load or unload models.

kserve's own server listens on all addresses without TLS, and lets anybody load and unload models.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer

from sat2sound.clients.errors import RequestCancelled
from sat2sound.contract import MODELS
from sat2sound.errors import ConfigurationError
from sat2sound.serving.gateway.capacity import Capacity
from sat2sound.serving.gateway.context import CURRENT, from_headers
from sat2sound.serving.gateway.errors import answer_for, message_for
from sat2sound.serving.gateway.logs import LOGGER
from sat2sound.serving.gateway.metrics import GatewayMetrics
from sat2sound.serving.gateway.refusals import GatewayError, NotOffered, Unauthenticated
from sat2sound.serving.gateway.rest import ClosedRepository
from sat2sound.serving.gateway.settings import GatewaySettings
from sat2sound.serving.gateway.tokens import Tokens
from sat2sound.serving.gateway.triton import Triton

_SPARE_CALLS = 64  # beside as many inferences as are admitted: their refusals, and questions for readiness


class Service(InferenceServicer):  # type: ignore[misc]
    """kserve's servicer; requests for the public ensembles go to Triton without being taken apart.

    own_model: the one that the gateway answers itself.
    """

    def __init__(self, data_plane: DataPlane, triton: Triton, own_model: str) -> None:
        super().__init__(data_plane, ClosedRepository(data_plane.model_registry))
        self._triton, self._own_model = triton, own_model

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 (the protocol's name)
        """Forwarded for public ensembles; anything else but the own model is not served here."""
        if request.model_name == self._own_model:
            return await super().ModelInfer(request, context)
        model = MODELS.get(request.model_name)
        if model is None or not model.public:
            raise NotOffered(f"{request.model_name!r} is not a model of this gateway")
        return await self._triton.forward(request)


class GrpcGuard(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """What every call passes: token, capacity for inference, metrics, one log line, readable errors.

    models: names that become route labels.
    """

    def __init__(self, tokens: Tokens, capacity: Capacity, metrics: GatewayMetrics, models: frozenset[str]) -> None:
        self._tokens, self._capacity, self._metrics, self._models = tokens, capacity, metrics, models

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> grpc.RpcMethodHandler:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method = handler_call_details.method.rpartition("/")[2]
        headers = {key: value for key, value in handler_call_details.invocation_metadata if isinstance(value, str)}

        async def guarded(request: Any, context: grpc.aio.ServicerContext) -> Any:
            return await self._guarded(handler.unary_unary, method, headers, request, context)

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _guarded(
        self, behaviour: Any, method: str, headers: dict[str, str], request: Any, context: grpc.aio.ServicerContext
    ) -> Any:
        known = from_headers(headers)
        CURRENT.set(known)
        started = time.perf_counter()
        route = request.model_name if method == "ModelInfer" and request.model_name in self._models else "other"
        try:
            if not self._tokens.admits(headers.get("authorization")):
                raise Unauthenticated
            if method != "ModelInfer":
                return await behaviour(request, context)
            async with self._capacity.admit(request.ByteSize()):
                with self._metrics.in_flight(route), self._metrics.stage("inference"):
                    return await behaviour(request, context)
        except asyncio.CancelledError:
            known.note(answer_for(RequestCancelled("")).outcome)  # the caller has left, or its time was over
            raise
        except Exception as error:
            row = answer_for(error)
            known.note(row.outcome)
            if isinstance(error, GatewayError):
                self._metrics.refused(error.reason)
            elif row.outcome == "failed":
                LOGGER.error("a call failed: %s", error, exc_info=error if row.http == 500 else None)
            await context.abort(row.grpc, message_for(error))
        finally:
            seconds = time.perf_counter() - started
            self._metrics.answered(route, known.outcome, seconds)
            fields = {"route": route, "outcome": known.outcome, "seconds": round(seconds, 4)}
            LOGGER.info("gRPC %s", method, extra={"fields": fields})


def grpc_server(
    data_plane: DataPlane,
    triton: Triton,
    guard: GrpcGuard,
    settings: GatewaySettings,
) -> tuple[grpc.aio.Server, int]:
    """A server bound to its port, not yet started, and the port."""
    server = grpc.aio.server(
        interceptors=(guard,),
        # The guard sees a request when it has been received: more than these are refused before that.
        maximum_concurrent_rpcs=settings.max_concurrency + settings.max_waiting + _SPARE_CALLS,
        options=[
            ("grpc.max_receive_message_length", settings.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    add_GRPCInferenceServiceServicer_to_server(Service(data_plane, triton, settings.model_name), server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    try:
        if settings.tls_certificate_file is None:
            return server, server.add_insecure_port(address)
        return server, server.add_secure_port(address, _credentials(settings))
    except RuntimeError as error:
        raise ConfigurationError(f"the gateway cannot listen on {address} for gRPC; is the port in use?") from error


def _credentials(settings: GatewaySettings) -> grpc.ServerCredentials:
    def read() -> grpc.ServerCertificateConfiguration:
        if settings.tls_key_file is None or settings.tls_certificate_file is None:
            raise ValueError("TLS needs both files")  # GatewaySettings has refused this
        pair = (settings.tls_key_file.read_bytes(), settings.tls_certificate_file.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair])

    # Asked at every handshake, so that a renewed certificate is taken up.
    return grpc.dynamic_ssl_server_credentials(read(), read)
