"""A server says which model it serves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_repository import CONFIG

from sat2sound.clients.connection import Connection
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.description import describe_repository, describe_server
from sat2sound.clients.errors import ServerUnreachable
from sat2sound.contract import DESCRIBED_MODEL, DESCRIPTION_PARAMETER
from sat2sound.errors import ConfigurationError
from sat2sound.export.triton_config import parse, render
from sat2sound.serving.launcher import TritonServer


def test_server_and_repository_say_the_same(tiny_server: Any, tiny_repository: Path) -> None:
    connection = Connection(tiny_server.grpc_url)
    try:
        said = describe_server(connection, Deadline(10))
    finally:
        connection.close()
    assert said.config == CONFIG
    assert said == describe_repository(tiny_repository)


def test_a_repository_of_an_older_version_does_not_say(
    triton_environment: Any, tiny_repository: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "repository"
    shutil.copytree(tiny_repository, folder)
    path = folder / DESCRIBED_MODEL / "config.pbtxt"
    config = parse(path.read_text())
    del config.parameters[DESCRIPTION_PARAMETER]
    path.write_text(render(config))
    with TritonServer(folder, environment=triton_environment) as server:
        connection = Connection(server.grpc_url)
        with pytest.raises(ConfigurationError, match=r"does not say which model.*sat2sound export"):
            describe_server(connection, Deadline(10))
        connection.close()


def test_nothing_there() -> None:
    connection = Connection("localhost:9")
    with pytest.raises(ServerUnreachable):
        describe_server(connection, Deadline(5))
    connection.close()
