"""TLS, tokens and keys: from files, checked, rotated, and never sent in the clear to another machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificates import Authority
from gateway_process import TOKEN, Gateway

from sat2sound.clients.access import Access
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import AccessDenied, ServerUnreachable
from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.serving.launcher import TritonServer


def test_the_environment_says(tmp_path: Path) -> None:
    assert Access.from_environment({}) == Access()
    authority = {"SAT2SOUND_TLS_CA_FILE": "ca.pem"}
    assert Access.from_environment(authority) == Access(tls=True, authority_file=Path("ca.pem"))
    assert Access.from_environment({"SAT2SOUND_TLS": "1", "SAT2SOUND_TOKEN_FILE": "t"}).tls
    assert not Access.from_environment({"SAT2SOUND_TLS": "0"}).tls


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"SAT2SOUND_TLS": "maybe"}, "SAT2SOUND_TLS is 'maybe'; expected 1 or 0"),
        ({"SAT2SOUND_TLS": "0", "SAT2SOUND_TLS_CA_FILE": "ca.pem"}, "TLS is off"),
        ({"SAT2SOUND_TLS_CERTIFICATE_FILE": "c.pem"}, "needs its private key"),
        ({"SAT2SOUND_TLS_KEY_FILE": "c.key"}, "needs its private key"),
    ],
)
def test_contradictions(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Access.from_environment(environ)


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"\xff\xfe", b"tab\tbed", b"caf\xc3\xa9"])
def test_what_is_no_token(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"SAT2SOUND_TOKEN_FILE\) holds no single line of ASCII"):
        Sat2SoundClient("localhost:8001", access=Access(token_file=path))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(ConfigurationError, match=r"absent \(SAT2SOUND_TLS_CA_FILE\) cannot be read"):
        Sat2SoundClient("localhost:8001", access=Access(tls=True, authority_file=absent))
    with pytest.raises(ConfigurationError, match=r"absent \(SAT2SOUND_TOKEN_FILE\) cannot be read"):
        Sat2SoundClient("localhost:8001", access=Access(token_file=absent))


def test_a_token_does_not_travel_in_the_clear(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with pytest.raises(InvalidInput, match=r"would travel to example\.org:443 unencrypted"):
        Sat2SoundClient("example.org:443", access=Access(token_file=token))
    Sat2SoundClient("example.org:443", access=Access(tls=True, token_file=token)).close()
    Sat2SoundClient("127.0.0.1:443", access=Access(token_file=token)).close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def encrypted(authority: Authority, triton_environment: Any, tiny_repository: Path) -> Iterator[TritonServer]:
    """A server that wants a certificate of its clients."""
    pair = authority.issue("server")
    arguments = (
        "--grpc-use-ssl=true",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={pair.certificate}",
        f"--grpc-server-key={pair.key}",
        f"--grpc-root-cert={authority.certificate}",
    )
    with TritonServer(tiny_repository, environment=triton_environment, arguments=arguments) as server:
        yield server


def test_both_sides_show_certificates(authority: Authority, encrypted: TritonServer, tmp_path: Path) -> None:
    shown = authority.issue("client")
    good = Access(
        tls=True,
        authority_file=authority.certificate,
        certificate_file=shown.certificate,
        private_key_file=shown.key,
    )
    with Sat2SoundClient(encrypted.grpc_url, access=good) as client:
        assert client.embed_text(["waves", "birds"]).shape == (2, 256)
    with Sat2SoundClient(f"localhost:{encrypted.grpc_port}", access=good) as client:
        assert client.embed_text("waves").shape == (1, 256)
    stranger = Authority(tmp_path, "stranger")
    foreign = stranger.issue("somebody")
    refused = {
        "no TLS": Access(),
        "no certificate of its own": Access(tls=True, authority_file=authority.certificate),
        "another authority": Access(tls=True, authority_file=stranger.certificate),
        "somebody else's certificate": Access(
            tls=True,
            authority_file=authority.certificate,
            certificate_file=foreign.certificate,
            private_key_file=foreign.key,
        ),
    }
    for access in refused.values():
        with (
            Sat2SoundClient(encrypted.grpc_url, access=access, deadline=20) as client,
            pytest.raises(ServerUnreachable, match="SAT2SOUND_TLS"),
        ):
            client.embed_text("waves")


def test_a_token_that_is_rotated_is_used_at_once(tiny_server: TritonServer, tmp_path: Path) -> None:
    accepted, ours = tmp_path / "accepted", tmp_path / "ours"
    accepted.write_text(f"{TOKEN}\nthe-next-one\n")
    ours.write_text(TOKEN)
    options = (f"--predictor-host={tiny_server.grpc_url}", f"--token-file={accepted}", "--drain-notice-seconds=0")
    with (
        Gateway(options) as gateway,
        Sat2SoundClient(f"127.0.0.1:{gateway.grpc_port}", access=Access(token_file=ours)) as client,
    ):
        first = client.embed_text(["waves"] * 20)  # more than one request: the gateway does not tell its limit
        assert first.shape == (20, 256)
        ours.write_text("the-next-one\n")
        np.testing.assert_allclose(client.embed_text("waves"), first[:1], atol=2e-6)
        ours.write_text("nobodys")
        with pytest.raises(AccessDenied):
            client.embed_text("waves")
