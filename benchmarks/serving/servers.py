"""The servers of a run that are processes of other programs: the gateway, and FastAPI around torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sat2sound.serving.ports import choose_ports

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 180.0


@dataclass(frozen=True)
class Running:
    """pid of the process, the port of its HTTP protocol, and the one of its gRPC protocol if it has one."""

    pid: int
    port: int
    grpc_port: int = 0


@contextmanager
def fastapi_torch(model: str) -> Iterator[Running]:
    """benchmarks/peers/fastapi_torch.py under uvicorn, one worker. model: "starter" or a checkpoint."""
    port = choose_ports("127.0.0.1", (0,))[0]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.fastapi_torch:app", "--port", str(port)]
    variables = {**os.environ, "SAT2SOUND_PEER_MODEL": model}
    process = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=variables)
    try:
        _wait_for(f"http://127.0.0.1:{port}/ready", process)
        yield Running(process.pid, port)
    finally:
        _end(process)


@contextmanager
def gateway(predictor: str, *options: str) -> Iterator[Running]:
    """`sat2sound gateway` in front of a Triton, without tokens, with these further options."""
    command = [sys.executable, "-m", "sat2sound.clients.cli", "gateway", "--http-port=0", "--grpc-port=0"]
    needed = [f"--predictor-host={predictor}", "--allow-anonymous", "--drain-notice-seconds=0"]
    process = subprocess.Popen([*command, *needed, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        addresses = _listening(process)
        yield Running(process.pid, int(addresses["http_port"]), int(addresses["grpc_port"]))
    finally:
        _end(process)


def _listening(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        entry: dict[str, Any] = json.loads(line)
        if entry["message"] == "listening":
            # It writes a line per request: a pipe that nobody reads would stop it.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return entry
    raise RuntimeError("the gateway ended before it listened")


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 (loopback)
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
