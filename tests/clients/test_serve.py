"""`sat2sound serve` in the foreground: Ctrl-C with requests in flight loses none of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import made_inputs
import numpy as np
import pytest
from shared_data import ROOT

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import NotServed, ServerUnavailable

COMMAND = Path(sys.executable).with_name("sat2sound")


PORTS = [option for name in ("grpc", "http", "metrics") for option in (f"--{name}-port", "0")]
Serving = tuple[subprocess.Popen[bytes], str, Path]


@pytest.fixture
def serving(server: Any, tmp_path: Path) -> Iterator[Serving]:
    """A second server, started by the command itself: process, gRPC address, file with its stderr."""
    said = tmp_path / "stderr"
    with said.open("w") as stderr:
        process = subprocess.Popen([COMMAND, "serve", "--repository", server.repository, *PORTS], stderr=stderr)
    try:
        yield process, address_of(process, said), said
    finally:
        process.kill()
        process.wait()


def address_of(process: subprocess.Popen[bytes], said: Path) -> str:
    """The gRPC address that the server announces once it is ready."""
    deadline = time.monotonic() + 120
    while not (found := re.search(r"serving: gRPC (\S+),", said.read_text())):
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.1)
    return found[1]


def children(pid: int) -> set[int]:
    """Process ids of everything that descends from this process."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def stop_under_load(process: subprocess.Popen[bytes], address: str, said: Path, stop: Callable[[], Any]) -> int:
    """The exit status, when `stop` is called with requests in flight: each of them must be answered."""
    images = [made_inputs.encoded(made_inputs.picture(seed)) for seed in range(16)]
    started, answers, failures = threading.Event(), [], []

    def ask(client: Sat2SoundClient) -> None:
        while True:
            begun = time.monotonic()
            started.set()
            try:
                answers.append(client.embed_satellite(images))
            except (ServerUnavailable, NotServed) as refusal:
                failures.append((begun, refusal))
                return

    with Sat2SoundClient(address) as client:
        client.embed_satellite(images)
        family = children(process.pid)
        assert len(family) > 1
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        started.wait()
        time.sleep(0.3)  # all three are inside the server
        stopped = time.monotonic()
        stop()
        status = process.wait(timeout=60)
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
    assert len(failures) == 3
    # Whoever was refused had asked after the signal: what was in flight then was answered.
    assert all(begun >= stopped for begun, _ in failures)
    assert len(answers) >= 3
    assert all(np.isfinite(answer).all() for answer in answers)
    assert "stopped" in said.read_text()
    assert not any(Path(f"/proc/{pid}").exists() for pid in family)
    return status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_requests_in_flight_finish(serving: Serving, number: signal.Signals) -> None:
    process, address, said = serving
    assert stop_under_load(process, address, said, lambda: os.kill(process.pid, number)) == 0, said.read_text()


# Of make itself: a Ctrl-C does not reach it, and SIGTERM it hands on before it dies of it.
@pytest.mark.parametrize(("terminal", "status"), [(True, 0), (False, -signal.SIGTERM)], ids=["Ctrl-C", "SIGTERM"])
def test_make_serve_loses_no_request(server: Any, tmp_path: Path, terminal: bool, status: int) -> None:
    said = tmp_path / "said"
    # -o: the environments are those that run this test; nothing is to be installed
    command = ["make", "-o", "setup", "serve", f"SERVE_OPTIONS=--repository {server.repository} {' '.join(PORTS)}"]
    keyboard, screen = os.openpty()
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _ON_A_TERMINAL, *command] if terminal else command,
            cwd=ROOT,
            stdin=screen if terminal else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")},
        )
    try:
        address = address_of(process, said)
        stop = (lambda: os.write(keyboard, b"\x03")) if terminal else process.terminate
        assert stop_under_load(process, address, said, stop) == status, said.read_text()
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)
        os.close(screen)


# Takes the terminal on its standard input as its own, as a shell in a window has it, and becomes the command.
_ON_A_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def test_it_says_so_when_the_server_dies(serving: Serving) -> None:
    process, address, said = serving
    with Sat2SoundClient(address) as client:
        assert client.connection.is_ready("embed_text", Deadline(10))
    (triton,) = [pid for pid in children(process.pid) if "tritonserver" in Path(f"/proc/{pid}/comm").read_text()]
    os.kill(triton, signal.SIGKILL)
    assert process.wait(timeout=30) == 6
    assert "error: the server ended by itself with status -9" in said.read_text()
