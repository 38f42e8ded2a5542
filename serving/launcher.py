"""Start a Triton server on a model repository, wait until it is ready, and stop it without losing a request."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from sat2sound.serving.backend_folder import DEFAULT_FOLDER, lay_out_backends
from sat2sound.serving.child import Child
from sat2sound.serving.control import Control
from sat2sound.serving.drain import drain as drain_server
from sat2sound.serving.environment import ServingEnvironment, find_environment, process_environment
from sat2sound.serving.errors import ServerFailedToStart, ServingError
from sat2sound.serving.ports import choose_ports
from sat2sound.serving.startup import failures, loaded_models, lost_port, models_in, tail

Progress = Callable[[str], None]
Cancelled = Callable[[], bool]
_ATTEMPTS = 5  # at free ports
_POLL_SECONDS = 0.05
_RESPONSE_CACHE_BYTES = 64 * 1024 * 1024  # of the models whose configuration asks for it
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where POSIX shared memory is, on Linux)


def _silent(_: str) -> None:
    return


def _never() -> bool:
    return False


class TritonServer:
    """A genuine Triton server as a child process; a context manager that starts it, and drains and stops it.

    repository: a built model repository. Ports: 0 picks a free one. host: the address to listen on, loopback unless
    asked otherwise. environment: default `find_environment()`. log: where the server's output goes; default a temporary
    file, kept only if the server failed. exit_seconds: how long a stopping server waits for what is in flight.
    arguments: more arguments for tritonserver.
    """

    def __init__(
        self,
        repository: Path,
        *,
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        host: str = "127.0.0.1",
        environment: ServingEnvironment | None = None,
        log: Path | None = None,
        backend_folder: Path = DEFAULT_FOLDER,
        exit_seconds: int = 10,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.repository = Path(repository).resolve()
        self.host = host
        self._wanted_ports = (http_port, grpc_port, metrics_port)
        self.http_port, self.grpc_port, self.metrics_port = self._wanted_ports
        self._environment = environment
        self._temporary_log = log is None
        if log is None:
            handle, name = tempfile.mkstemp(prefix="sat2sound-triton-", suffix=".log")
            os.close(handle)
            log = Path(name)
        self.log = log
        self._backend_folder = backend_folder
        self._exit_seconds = exit_seconds
        self._arguments = arguments
        self._memory_prefix = f"sat2sound-{secrets.token_hex(8)}-"
        self._child: Child | None = None
        self._control: Control | None = None

    # --- where it is, and how it is ---------------------------------------------------------------------------------
    @property
    def http_url(self) -> str:
        """URL of Triton's HTTP protocol, e.g. "http://127.0.0.1:8000"."""
        return f"http://{self._authority(self.http_port)}"

    @property
    def grpc_url(self) -> str:
        """host:port, as gRPC clients take it."""
        return self._authority(self.grpc_port)

    @property
    def metrics_url(self) -> str:
        """URL of the Prometheus metrics."""
        return f"http://{self._authority(self.metrics_port)}/metrics"

    @property
    def _reachable_host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 (looked up, not bound)

    def _authority(self, port: int) -> str:
        return f"[{self._reachable_host}]:{port}" if ":" in self._reachable_host else f"{self._reachable_host}:{port}"

    @property
    def control(self) -> Control:
        """Health, state and unloading. Raises ServingError if the server was not started."""
        if self._control is None:
            raise ServingError("the server was not started")
        return self._control

    @property
    def pid(self) -> int:
        """The server's process id, also of its process group. Raises ServingError if it does not run."""
        if self._child is None:
            raise ServingError("the server is not running")
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The exit status of a server that ended by itself; None while it runs and after stop()."""
        return self._child.returncode if self._child else None

    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._child is not None and self._child.returncode is None

    def ready(self) -> bool:
        """Whether it is up, every model is loaded, and it is not draining."""
        return self.running() and self.control.is_ready()

    # --- starting ---------------------------------------------------------------------------------------------------
    def start(self, timeout: float = 300.0, progress: Progress = _silent, cancelled: Cancelled = _never) -> Self:
        """Start and wait until every model is ready.

        timeout: seconds. progress: called with one line per step. cancelled: asked while waiting; True gives up. Raises
        UnusableEnvironment, PortInUse, or ServerFailedToStart with the server's own reason for every model that failed;
        nothing is left running then.
        """
        if self._child:
            raise ServingError("this server was started already; stop it first")
        expected = models_in(self.repository)
        if not expected:
            raise ServingError(f"{self.repository} is not a built model repository; run `sat2sound export` first")
        environment = self._environment or find_environment()
        backends = lay_out_backends(environment, self._backend_folder)
        for attempt in range(1, _ATTEMPTS + 1):
            ports = choose_ports(self.host, self._wanted_ports)
            self.http_port, self.grpc_port, self.metrics_port = ports
            self._control = Control(self._reachable_host, self.http_port)
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.write_text("")
            progress(f"starting Triton with {len(expected)} models on gRPC {self.grpc_url}")
            command = [str(environment.binary), *self._server_arguments(environment, backends)]
            self._child = child = Child(command, process_environment(environment), self.log)
            try:
                self._wait_until_ready(child, expected, timeout, progress, cancelled)
                return self
            except BaseException:
                self._end(child, signal.SIGKILL, 0.0)
                if attempt < _ATTEMPTS and 0 in self._wanted_ports and lost_port(self._read_log()):
                    continue
                raise
        raise AssertionError("the last attempt returns or raises")

    def _server_arguments(self, environment: ServingEnvironment, backends: Path) -> list[str]:
        return [
            f"--model-repository={self.repository}",
            f"--backend-directory={backends}",
            f"--cache-directory={environment.caches}",
            *(f"--{service}-address={self.host}" for service in ("http", "grpc", "metrics")),
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            f"--cache-config=local,size={_RESPONSE_CACHE_BYTES}",
            "--metrics-config=summary_latencies=true",
            # Names of our own, so that what a killed server leaves there can be removed.
            f"--backend-config=python,shm-region-prefix-name={self._memory_prefix}",
            # Drain needs to unload models; --load-model=* loads all of them at the start, as without this mode.
            "--model-control-mode=explicit",
            "--load-model=*",
            # A failed model must not end the server before it can be asked for the reason.
            "--exit-on-error=false",
            "--strict-readiness=true",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={self._exit_seconds}",
            *self.control.restriction_arguments(),
            *self._arguments,
        ]

    def _wait_until_ready(
        self, child: Child, expected: tuple[str, ...], timeout: float, progress: Progress, cancelled: Cancelled
    ) -> None:
        started = time.monotonic()
        reported = 0
        while not (self.control.is_live() and self.control.serves_metrics(self.metrics_port)):
            loaded = loaded_models(self._read_log())
            for place, name in enumerate(loaded[reported:], reported + 1):
                progress(f"loaded {name} ({place} of {len(expected)})")
            reported = len(loaded)
            if child.returncode is not None:
                raise self._failure(f"the server ended with status {child.returncode} while starting")
            if cancelled():
                raise ServingError("starting the server was cancelled")
            if time.monotonic() - started > timeout:
                waiting = ", ".join(name for name in expected if name not in loaded)
                raise self._failure(f"the server was not ready after {timeout:g} s; still loading: {waiting}")
            time.sleep(_POLL_SECONDS)
        reasons = failures(self.control.models(), expected, self._read_log())
        if reasons:
            problem = f"{len(reasons)} of {len(expected)} models failed to load"
            raise ServerFailedToStart(problem, reasons=reasons, log_file=self.log)
        if not self.control.is_ready():
            raise self._failure("every model is loaded, but the server does not call itself ready")
        progress(f"Triton {self.control.version()} is ready after {time.monotonic() - started:.1f} s")

    def _failure(self, problem: str) -> ServerFailedToStart:
        return ServerFailedToStart(problem, log_file=self.log, log_tail=tail(self._read_log()))

    def _read_log(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    # --- stopping ---------------------------------------------------------------------------------------------------
    def drain(self, timeout: float = 60.0, *, notice: float = 0.0, cancelled: Cancelled = _never) -> bool:
        """Go unready, refuse new requests and wait up to `timeout` seconds until those in flight are answered.

        notice: seconds between going unready and refusing, for load balancers to look elsewhere. cancelled: asked while
        waiting; True ends the wait. Returns whether nothing is in flight any more. See `sat2sound.serving.drain`.
        """
        try:
            return self.running() and drain_server(self.control, timeout, notice=notice, cancelled=cancelled)
        except (OSError, ServingError):  # it died while draining: what was in flight is lost
            return False

    def stop(
        self, *, drain: bool = True, timeout: float = 60.0, notice: float = 0.0, cancelled: Cancelled = _never
    ) -> bool:
        """Stop the server; nothing of it is left when this returns. Stopping one that does not run does nothing.

        drain: let requests in flight finish first; timeout, notice, cancelled: see `drain`. Returns whether it was
        drained completely and then ended by itself with status 0.
        """
        if self._child is None:
            return True
        drained = drain and self.drain(timeout, notice=notice, cancelled=cancelled)
        at_once = cancelled()
        status = self._end(self._child, signal.SIGKILL if at_once else signal.SIGTERM, self._exit_seconds + 5.0)
        if self._temporary_log:
            self.log.unlink(missing_ok=True)
        return drained and status == 0

    def _end(self, child: Child, number: signal.Signals, patience: float) -> int | None:
        """End the process and all that it started (see `Child.end`); its exit status."""
        self._child = None
        child.end(number, patience)
        for left_behind in _SHARED_MEMORY.glob(f"{self._memory_prefix}*"):
            left_behind.unlink(missing_ok=True)
        return child.returncode

    def __enter__(self) -> Self:
        return self if self.running() else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(drain=error is None)
