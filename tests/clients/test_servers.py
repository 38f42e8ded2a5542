"""Which server a command talks to."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from sat2sound.clients import description, servers
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.description import ModelDescription, default_description, describe_repository
from sat2sound.clients.errors import ServerUnavailable
from sat2sound.configs import load_config
from sat2sound.errors import ConfigurationError


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nobody listens, in the place of localhost:8001."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setattr(servers, "LOCAL_SERVER", address)
    return address


def test_a_named_server_says_what_it_serves(server: Any, nobody: str) -> None:
    with servers.chosen_server(server.grpc_url, pytest.fail, {}) as chosen:
        assert (chosen.url, chosen.embedded) == (server.grpc_url, False)
        assert chosen.model == describe_repository(server.repository)
    with pytest.raises(ServerUnavailable), servers.chosen_server(nobody, pytest.fail, {}):
        pytest.fail("nobody listens there")


def test_a_server_that_does_not_say_what_it_serves(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "DESCRIPTION_PARAMETER", "of another version")
    with servers.chosen_server(server.grpc_url, pytest.fail, {}) as chosen:
        assert chosen.model is None
        assert chosen.expects.name == "starter"


def test_a_local_server_of_ours_is_used(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "LOCAL_SERVER", server.grpc_url)
    said: list[str] = []
    with servers.chosen_server(None, said.append, {}) as chosen:
        assert (chosen.url, chosen.embedded, chosen.expects.name) == (server.grpc_url, False, "starter")
    assert said == [f"using the server at {server.grpc_url}"]


def test_without_one_a_server_is_started_and_stopped(server: Any, nobody: str) -> None:
    said: list[str] = []
    environment = {servers.REPOSITORY_VARIABLE: str(server.repository)}
    with servers.chosen_server(None, said.append, environment) as chosen:
        assert chosen.embedded
        assert chosen.url not in (server.grpc_url, nobody)
        assert chosen.expects == describe_repository(server.repository)
        with Sat2SoundClient(chosen.url) as client:
            assert client.embed_text("waves").shape == (1, chosen.expects.config.embedding)
    assert said[0].startswith(f"no server at {nobody}: starting one for this command")
    with Sat2SoundClient(chosen.url) as client, pytest.raises(ServerUnavailable):
        client.embed_text("waves")


def test_a_named_repository_is_never_built_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a built model repository"):
        servers.ready_repository(tmp_path, pytest.fail)
    assert list(tmp_path.iterdir()) == []


def test_what_a_model_ignores() -> None:
    said = {"latitude": 1.0, "longitude": 2.0, "month": None, "hour": 5, "audio_source": "yfcc", "gsd": 0.3}
    assert default_description().ignored(said) == ["latitude", "longitude", "hour", "audio_source"]
    trained = ModelDescription(load_config("soundingearth-withmeta"))
    assert trained.ignored(said) == ["audio_source"]
