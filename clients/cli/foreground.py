"""A server in the foreground: runs until told to stop, then lets what is in flight finish."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sat2sound.clients.servers import START_SECONDS, Progress
from sat2sound.serving.errors import ServingError
from sat2sound.serving.launcher import TritonServer

DRAIN_SECONDS = 60.0
_POLL_SECONDS = 0.2


class Stop:
    """Counts the signals that asked to stop."""

    def __init__(self) -> None:
        self.count = 0
        self._asked = threading.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Signal handler."""
        self.count += 1
        self._asked.set()

    def wait(self, seconds: float) -> bool:
        """Whether stopping has been asked for, waiting up to that long."""
        return self._asked.wait(seconds)


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    stop = Stop()
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def own_terminal() -> Iterator[None]:
    """Be the terminal's foreground process group, alone: a Ctrl-C then reaches this process, but not who started it.

    `make` would otherwise die of the same Ctrl-C, whatever this process makes of it. Ctrl-Z is ignored meanwhile: who
    started this process would not notice that it sleeps. Changes nothing without a terminal, or in the background.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        yield
        return
    before = os.tcgetpgrp(terminal)
    if before != os.getpgrp() or before == os.getpid():
        os.close(terminal)
        yield
        return
    # Writing these settings from the background would stop this process, unless it ignores the signal.
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTTOU, signal.SIGTSTP)}
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(terminal, before)
        os.setpgid(0, before)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(terminal)


def serve_until_told_otherwise(
    repository: Path, *, grpc_port: int, http_port: int, metrics_port: int, host: str, progress: Progress
) -> None:
    """Start, serve, and at the first signal drain and stop; at the second stop at once.

    Raises ServingError if the server does not start, ends by itself, or could not answer everything that it accepted.
    """
    server = TritonServer(repository, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port, host=host)
    with stop_signals() as stop:
        try:
            server.start(START_SECONDS, progress=progress, cancelled=lambda: stop.count > 0)
        except ServingError:
            if stop.count:
                return
            raise
        progress(f"serving: gRPC {server.grpc_url}, HTTP {server.http_url}, metrics {server.metrics_url}")
        progress("press Ctrl-C to stop")
        while server.running() and not stop.wait(_POLL_SECONDS):
            pass
        if not server.running():
            status = server.returncode
            server.stop(drain=False)
            raise ServingError(f"the server ended by itself with status {status}")
        progress("stopping: requests in flight finish first (Ctrl-C again: at once)")
        complete = server.stop(timeout=DRAIN_SECONDS, cancelled=lambda: stop.count > 1)
    if not complete:
        raise ServingError("the server was stopped before every request in flight was answered")
    progress("stopped")
