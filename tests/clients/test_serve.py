"""`sat2sound serve` in the foreground: Ctrl-C with requests in flight loses none of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_inputs
import numpy as np
import pytest

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.connection import Deadline
from sat2sound.clients.errors import NotServed, ServerUnavailable

COMMAND = Path(sys.executable).with_name("sat2sound")


@pytest.fixture
def serving(server: Any, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """A second server, started by the command itself: process, gRPC address, file with its stderr."""
    said = tmp_path / "stderr"
    ports = [option for name in ("grpc", "http", "metrics") for option in (f"--{name}-port", "0")]
    with said.open("w") as stderr:
        process = subprocess.Popen(
            [COMMAND, "serve", "--repository", server.repository, *ports], stderr=stderr, text=True
        )
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"serving: gRPC (\S+),", said.read_text())):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        yield process, found[1], said
    finally:
        process.kill()
        process.wait()


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_requests_in_flight_finish(serving: tuple[subprocess.Popen[str], str, Path], number: signal.Signals) -> None:
    process, address, said = serving
    images = [made_inputs.encoded(made_inputs.picture(seed)) for seed in range(16)]
    started, answers, failures = threading.Event(), [], []
    signalled = time.monotonic() + 3600

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
        signalled = time.monotonic()
        os.kill(process.pid, number)
        assert process.wait(timeout=60) == 0, said.read_text()
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
    assert len(failures) == 3
    # Whoever was refused had asked after the signal: what was in flight then was answered.
    assert all(begun >= signalled for begun, _ in failures)
    assert len(answers) >= 3
    assert all(np.isfinite(answer).all() for answer in answers)
    assert "stopped" in said.read_text()
    assert not any(Path(f"/proc/{pid}").exists() for pid in family)


def test_it_says_so_when_the_server_dies(serving: tuple[subprocess.Popen[str], str, Path]) -> None:
    process, address, said = serving
    with Sat2SoundClient(address) as client:
        assert client.connection.is_ready("embed_text", Deadline(10))
    (triton,) = [pid for pid in children(process.pid) if "tritonserver" in Path(f"/proc/{pid}/comm").read_text()]
    os.kill(triton, signal.SIGKILL)
    assert process.wait(timeout=30) == 6
    assert "error: the server ended by itself with status -9" in said.read_text()
