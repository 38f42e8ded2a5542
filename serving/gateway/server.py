"""One gateway: both protocols on one set of models, started and drained together."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    # kserve reads the program's arguments when it is imported, and would act on --help.
    kept, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = kept


with _no_arguments():
    from kserve import Model, ModelServer
    from kserve.predictor_config import PredictorConfig

from sat2sound.contract import MODELS  # noqa: E402
from sat2sound.errors import ConfigurationError  # noqa: E402
from sat2sound.satellite_types import satellite_type  # noqa: E402
from sat2sound.serving.gateway.capacity import Capacity  # noqa: E402
from sat2sound.serving.gateway.certificates import check  # noqa: E402
from sat2sound.serving.gateway.grpc_server import GrpcGuard, grpc_server  # noqa: E402
from sat2sound.serving.gateway.guard import Guard  # noqa: E402
from sat2sound.serving.gateway.images import ImageStores  # noqa: E402
from sat2sound.serving.gateway.logs import LOGGER  # noqa: E402
from sat2sound.serving.gateway.metrics import GatewayMetrics  # noqa: E402
from sat2sound.serving.gateway.models import EnsembleModel, SoundscapeModel, public_models  # noqa: E402
from sat2sound.serving.gateway.places import Places  # noqa: E402
from sat2sound.serving.gateway.readiness import GatewayDataPlane  # noqa: E402
from sat2sound.serving.gateway.rest import RestServer, application, listening_socket  # noqa: E402
from sat2sound.serving.gateway.settings import GatewaySettings  # noqa: E402
from sat2sound.serving.gateway.soundscape import Soundscape  # noqa: E402
from sat2sound.serving.gateway.tokens import Tokens  # noqa: E402
from sat2sound.serving.gateway.triton import Triton  # noqa: E402


@dataclass(frozen=True)
class Addresses:
    """Where a started gateway listens."""

    host: str
    http_port: int
    grpc_port: int


class GatewayServer(ModelServer):  # type: ignore[misc]
    """kserve's model server with guarded endpoints; see `GatewaySettings`. Raises ConfigurationError."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self._tokens = Tokens(settings.token_file)
        self._kind = satellite_type(settings.satellite)
        if settings.tls_certificate_file is not None and settings.tls_key_file is not None:
            check(settings.tls_certificate_file, settings.tls_key_file)
        if settings.model_name in MODELS:
            raise ConfigurationError(
                f"--model-name {settings.model_name} is the name of one of Triton's models; choose another"
            )
        predictor = PredictorConfig(predictor_host=settings.predictor, predictor_protocol="grpc-v2")
        super().__init__(predictor_config=predictor, ssl_certfile=None, ssl_keyfile=None)
        self._stop = asyncio.Event()

    def run(self, started: Callable[[Addresses], None] = lambda addresses: None) -> bool:
        """Serve until SIGTERM or SIGINT; whether every admitted request had its answer."""
        return asyncio.run(self.serve(started, signals=True))

    async def serve(
        self, started: Callable[[Addresses], None] = lambda addresses: None, *, signals: bool = False
    ) -> bool:
        """Serve until `stop_serving`, then drain; whether every admitted request had its answer."""
        settings = self.settings
        metrics = GatewayMetrics()
        triton = Triton(settings)
        capacity = Capacity(settings.max_concurrency, settings.max_waiting, settings.max_bytes_in_flight, metrics)
        stores = ImageStores(
            settings.image_stores,
            seconds=settings.fetch_seconds,
            max_bytes=settings.max_request_bytes,
            allow_private=settings.allow_private,
        )
        places = Places(
            settings.tiles, self._kind, seconds=settings.fetch_seconds, allow_private=settings.allow_private
        )
        soundscape = Soundscape(triton, stores, places, metrics, satellite=settings.satellite)
        models: list[Model] = [
            SoundscapeModel(settings.model_name, soundscape, max_instances=settings.max_instances),
            *(EnsembleModel(contract, triton) for contract in public_models()),
        ]
        for model in models:
            self.registered_models.update(model)
        plane = GatewayDataPlane(self.registered_models, triton)
        routes = frozenset(model.name for model in models)
        guarded = Guard(
            application(plane, metrics),
            tokens=self._tokens,
            capacity=capacity,
            metrics=metrics,
            max_bytes=settings.max_request_bytes,
            body_seconds=settings.timeout_seconds,
            models=routes,
        )
        rest = RestServer(guarded, settings)
        calls, grpc_port = grpc_server(plane, triton, GrpcGuard(self._tokens, capacity, metrics, routes), settings)
        bound = listening_socket(settings.host, settings.http_port)
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        await calls.start()
        serving = asyncio.create_task(rest.serve(sockets=[bound]))
        try:
            while not rest.started and not serving.done():
                await asyncio.sleep(0.01)
            started(Addresses(settings.host, bound.getsockname()[1], grpc_port))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            plane.draining = True
            LOGGER.info("draining: not ready any more")
            await asyncio.sleep(settings.drain_notice_seconds)
            drained = await capacity.drain(settings.drain_seconds)
            LOGGER.info("drained" if drained else "requests were still in flight", extra={"fields": {"all": drained}})
            return drained
        finally:
            rest.should_exit = True
            await calls.stop(grace=1.0)
            await serving
            await triton.close()

    def stop_serving(self) -> None:
        """Begin to drain; from the event loop's thread."""
        self._stop.set()
