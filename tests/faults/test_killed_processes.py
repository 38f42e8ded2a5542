"""Processes that are killed under requests: one model's python backend process, or the whole server."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import ClientError, ServerFault, ServerUnavailable
from sat2sound.clients.retries import Patience
from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.launcher import TritonServer
from sat2sound.serving.liveness import dead_stubs, why_not_alive

ONCE = Patience(tries=1)


def stub_of(server: TritonServer, model: str) -> int:
    """Process id of a model's first python backend process: this server's, other servers have the same repository."""
    for process in sorted(int(folder.name) for folder in Path("/proc").glob("[0-9]*")):
        try:
            if os.getpgid(process) != server.pid:
                continue
            command = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
        except OSError:  # it ended meanwhile
            continue
        if command[0].endswith("triton_python_backend_stub") and str(server.repository / model) in command[1]:
            return process
    raise AssertionError(f"{model} has no process")


def alive(environment: ServingEnvironment, server: TritonServer) -> subprocess.CompletedProcess[str]:
    """The liveness probe of k8s/, from the server's own environment as there."""
    command = [str(environment.prefix / "bin" / "sat2sound"), "alive"]
    options = ["--http", f"127.0.0.1:{server.http_port}", "--pid", str(server.pid)]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)


def test_a_killed_backend_process_is_a_typed_error_and_fails_the_liveness_probe(
    triton_environment: ServingEnvironment, tiny_repository: Path, tmp_path: Path
) -> None:
    with TritonServer(tiny_repository, environment=triton_environment) as server:
        with Sat2SoundClient(server.grpc_url, patience=ONCE) as client:
            assert client.embed_text("rain on leaves").shape == (1, 256)
            assert alive(triton_environment, server).returncode == 0
            stub = stub_of(server, "text_preprocess")
            os.kill(stub, signal.SIGKILL)
            for _ in range(2):
                started = time.monotonic()
                with pytest.raises(ServerFault, match="not healthy"):
                    client.embed_text("rain on leaves", deadline=20)
                assert time.monotonic() - started < 15, "no call hangs"
            # What another version of Triton may do better; then the probe may go back to /v2/health/live.
            assert server.control.is_live()
            assert server.control.is_ready()
            assert dead_stubs(server.pid) == [stub]
            found = alive(triton_environment, server)
            assert found.returncode == ExitCode.UNAVAILABLE
            assert f"1 python backend processes have died (process ids {stub})" in found.stderr
        group = server.pid
        server.stop(timeout=5)  # what the kubelet does then: end it and start another
        assert not dead_stubs(group)
    with TritonServer(tiny_repository, environment=triton_environment) as again:
        with Sat2SoundClient(again.grpc_url, patience=ONCE) as client:
            assert client.embed_text("rain on leaves").shape == (1, 256)
        # A drain ends the backend processes, too, but that is not death: it must not cut the drain short.
        assert again.drain()
        assert why_not_alive(again.control, again.pid) == ""
        control = again.control
    assert "no Triton server answers" in why_not_alive(control, group)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_a_server_killed_without_drain_is_a_typed_retryable_error(
    number: signal.Signals, triton_environment: ServingEnvironment, tiny_repository: Path
) -> None:
    answered: list[int] = []
    problems: list[ClientError] = []
    with TritonServer(tiny_repository, environment=triton_environment, exit_seconds=2) as server:

        def ask() -> None:
            with Sat2SoundClient(server.grpc_url, patience=ONCE) as client:
                try:
                    while True:
                        answered.append(len(client.embed_text(["rain on leaves"], deadline=20)))
                except ClientError as problem:
                    problems.append(problem)

        askers = [threading.Thread(target=ask, daemon=True) for _ in range(6)]
        for asker in askers:
            asker.start()
        deadline = time.monotonic() + 30
        while len(answered) < 12 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(server.pid, number)
        for asker in askers:
            asker.join(timeout=40)
            assert not asker.is_alive(), "no call hangs"
        server.stop(drain=False)
    assert len(answered) >= 12
    assert len(problems) == 6
    assert [problem for problem in problems if not isinstance(problem, ServerUnavailable)] == []
