"""`sat2sound drain`, as a pod's preStop runs it: from the server's own environment, beside a server under load."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import ClientError
from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.launcher import TritonServer


def drain(environment: ServingEnvironment, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(environment.prefix / "bin" / "sat2sound"), "drain", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_every_accepted_request_is_answered(triton_environment: ServingEnvironment, tiny_repository: Path) -> None:
    with TritonServer(tiny_repository, environment=triton_environment) as server:
        answered: list[int] = []
        problems: list[ClientError] = []

        def ask() -> None:
            with Sat2SoundClient(server.grpc_url) as client:
                while True:
                    try:
                        answered.append(len(client.embed_text(["rain on leaves"])))
                    except ClientError as problem:
                        problems.append(problem)
                        return

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        address = f"127.0.0.1:{server.http_port}"
        found = drain(triton_environment, "--http", address, "--key", server.control.key, "--notice", "0.5")
        for asker in askers:
            asker.join(timeout=30)
        assert (found.returncode, found.stderr) == (0, "")
        assert not server.ready()
        assert len(answered) > 4
        # Each asker ended by a refusal of a new request ("unknown model"), none by a request cut off underway.
        assert len(problems) == 4
        assert not [problem for problem in problems if "stopping" in str(problem)]


def test_a_server_that_does_not_answer_and_a_wrong_key_are_errors(
    triton_environment: ServingEnvironment, tiny_server: TritonServer
) -> None:
    nobody = drain(triton_environment, "--http", "127.0.0.1:1")
    assert (nobody.returncode, "no Triton server answers on 127.0.0.1:1" in nobody.stderr) == (3, True)
    refused = drain(triton_environment, "--http", f"127.0.0.1:{tiny_server.http_port}", "--key", "wrong")
    assert refused.returncode == 6
    assert "restricted" in refused.stderr
    assert tiny_server.ready()
