"""Start a Triton server on a model repository, wait until it is ready, and stop it without losing a request."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from sat2sound.contract import ensembles
from sat2sound.errors import Sat2SoundError
from sat2sound.serving.control import CONTROL_HEADER, ControlClient
from sat2sound.serving.environment import ROOT, TritonEnvironment, find_environment
from sat2sound.serving.ports import free_ports

Progress = Callable[[str], None]
_POLL_SECONDS = 0.1
_BIND_FAILURES = ("address already in use", "failed to bind", "unable to bind", "failed to start http", "failed to start grpc")
_START_ATTEMPTS = 4


class ServerFailedToStart(Sat2SoundError):
    """The server did not become ready; the message has its own reason for every model that failed."""


class TritonServer:
    """A genuine Triton server as a child process; also a context manager.

    repository: a built model repository. Ports: 0 picks a free one. host: the address to listen on, loopback unless
    asked otherwise. log: where the server's log goes (default: a temporary file, shown on failure).
    """

    def __init__(
        self,
        repository: Path,
        *,
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        host: str = "127.0.0.1",
        environment: TritonEnvironment | None = None,
        log: Path | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.repository = Path(repository).absolute()
        self.host = host
        self._wanted_ports = (http_port, grpc_port, metrics_port)
        self._environment = environment
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._secret = secrets.token_urlsafe(24)
        if log is None:
            handle, name = tempfile.mkstemp(prefix="sat2sound-triton-", suffix=".log")
            os.close(handle)
            log = Path(name)
        self.log = log

    # --- addresses --------------------------------------------------------------------------------------------------
    @property
    def _reachable_host(self) -> str:
        return "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host  # noqa: S104 (compared, not bound)

    @property
    def grpc_url(self) -> str:
        """host:port of gRPC."""
        return f"{self._reachable_host}:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        """URL of HTTP, e.g. "http://127.0.0.1:8000"."""
        return f"http://{self._reachable_host}:{self.http_port}"

    @property
    def metrics_url(self) -> str:
        """URL of the Prometheus metrics."""
        return f"http://{self._reachable_host}:{self.metrics_port}/metrics"

    @property
    def pid(self) -> int:
        """The server's process id. Raises RuntimeError if it is not running."""
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process.pid

    @property
    def control(self) -> ControlClient:
        """Health, state and unloading."""
        return ControlClient(self._reachable_host, self.http_port, self._secret)

    # --- life -------------------------------------------------------------------------------------------------------
    def start(self, timeout: float = 120.0, progress: Progress = lambda message: None) -> TritonServer:
        """Start and wait until every model is ready. Raises ServerFailedToStart, leaving no process behind."""
        if not (self.repository / next(ensembles()).name / "config.pbtxt").is_file():
            raise ServerFailedToStart(f"{self.repository} is not a built model repository; run `sat2sound export` first")
        environment = self._environment or find_environment()
        backends = environment.lay_out_backends(ROOT / "build" / "triton-backends")
        for attempt in range(_START_ATTEMPTS):
            self._choose_ports()
            progress(f"starting Triton on gRPC {self.grpc_url}")
            self._spawn(environment, backends)
            try:
                self._wait_until_ready(time.monotonic() + timeout, progress)
                return self
            except ServerFailedToStart as failure:
                self.stop(drain=False)
                lost_port = any(text in str(failure).lower() for text in _BIND_FAILURES)
                if not lost_port or all(self._wanted_ports) or attempt == _START_ATTEMPTS - 1:
                    raise
            except BaseException:
                self.stop(drain=False)
                raise
        raise AssertionError("unreachable")

    def _choose_ports(self) -> None:
        spare = free_ports(self.host, len(self._wanted_ports))
        self.http_port, self.grpc_port, self.metrics_port = (
            wanted or free for wanted, free in zip(self._wanted_ports, spare, strict=True)
        )

    def _spawn(self, environment: TritonEnvironment, backends: Path) -> None:
        restricted = f"{CONTROL_HEADER}={self._secret}"
        command = [
            str(environment.binary),
            f"--model-repository={self.repository}",
            f"--backend-directory={backends}",
            f"--cache-directory={environment.cache_directory}",
            # explicit: the launcher drains by unloading the public models; nobody else knows the header's value
            "--model-control-mode=explicit",
            "--load-model=*",
            f"--http-restricted-api=model-repository:{restricted}",
            f"--grpc-restricted-protocol=model-repository:{restricted}",
            "--exit-on-error=false",  # so that the index can be asked which model failed, and why
            f"--http-address={self.host}",
            f"--grpc-address={self.host}",
            f"--metrics-address={self.host}",
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            "--metrics-config=summary_latencies=true",
            "--disable-auto-complete-config",
            *self._arguments,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=environment.variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the launcher only, which drains first
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (async-signal-safe: one system call)
            )

    def _wait_until_ready(self, deadline: float, progress: Progress) -> None:
        process = self._process
        assert process is not None
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerFailedToStart(f"Triton ended with code {process.returncode}:\n{self._log_tail()}")
            if self.control.alive():
                failed = [model for model in self.control.models() if model.state == "UNAVAILABLE"]
                if failed:
                    reasons = "\n".join(f"  {model.name}: {model.reason}" for model in failed)
                    raise ServerFailedToStart(f"{len(failed)} models did not load:\n{reasons}\nlog: {self.log}")
                if self.control.ready():
                    progress(f"Triton {self.control.version()} is ready")
                    return
            time.sleep(_POLL_SECONDS)
        raise ServerFailedToStart(f"Triton was not ready in time:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-25:])

    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """Block until the process ends by itself; its exit code."""
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process.wait()

    def drain(self, timeout: float = 30.0) -> None:
        """Refuse new requests, let those in flight finish. Raises OSError if they do not within `timeout` seconds.

        Triton's own shutdown would fail ensembles that are halfway. Unloading the public models first does not: they
        answer "not ready" from then on (and so does readiness while requests are in flight), composing models stay.
        """
        deadline = time.monotonic() + timeout
        for model in ensembles():
            self.control.unload(model.name, timeout=max(0.1, deadline - time.monotonic()))
        names = {model.name for model in ensembles()}
        while any(model.name in names and model.state != "UNAVAILABLE" for model in self.control.models()):
            if time.monotonic() > deadline:
                raise OSError(f"requests were still in flight after {timeout:g} s")
            time.sleep(_POLL_SECONDS / 2)

    def stop(self, *, drain: bool = True, timeout: float = 30.0) -> None:
        """Drain if asked, then end the server and everything it started. Does nothing if it is not running."""
        process = self._process
        if process is None:
            return
        if drain and process.poll() is None:
            with contextlib.suppress(OSError):
                self.drain(timeout)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # The session of its own holds the python stubs as well; whichever outlived the server ends here.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._process = None

    def __enter__(self) -> TritonServer:
        return self if self.running() else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(drain=kind is None)


_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Even a launcher that is killed outright leaves no server behind."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
