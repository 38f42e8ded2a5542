"""TLS on both protocols, and a certificate that is renewed under a running gateway, as a mounted Secret is."""

from __future__ import annotations

import shutil
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority, Pair
from cryptography import x509
from gateway_process import TOKEN, Gateway

from sat2sound.clients.access import Access
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import ServerUnreachable
from sat2sound.serving.launcher import TritonServer


class Mounted:
    """A folder with tls.crt and tls.key as Kubernetes mounts a Secret: links by way of ..data, which is turned."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._version = folder, 0
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(f"..data/{name}")

    def write(self, pair: Pair) -> None:
        self._version += 1
        version = self._folder / f"..version{self._version}"
        version.mkdir()
        shutil.copyfile(pair.certificate, version / "tls.crt")
        shutil.copyfile(pair.key, version / "tls.key")
        (self._folder / "..next").symlink_to(version.name)
        (self._folder / "..next").replace(self._folder / "..data")
        if self._version > 1:
            shutil.rmtree(self._folder / f"..version{self._version - 1}")


def shown(port: int, authority: Authority) -> str:
    """The common name in the certificate that a server shows."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        certificate = x509.load_der_x509_certificate(encrypted.getpeercert(binary_form=True) or b"")
    return str(certificate.subject.rfc4514_string()).removeprefix("CN=")


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_both_protocols_are_encrypted_and_show_a_renewed_certificate(
    tiny_server: TritonServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = Authority(tmp_path)
    secret = Mounted(tmp_path_factory.mktemp("secret"))
    secret.write(authority.issue("first"))
    (tmp_path / "tokens").write_text(TOKEN)
    options = (
        f"--predictor-host={tiny_server.grpc_url}",
        f"--token-file={tmp_path / 'tokens'}",
        f"--tls-certificate-file={secret.certificate}",
        f"--tls-key-file={secret.key}",
        "--drain-notice-seconds=0",
    )
    access = Access(tls=True, authority_file=authority.certificate, token_file=tmp_path / "tokens")
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with Gateway(options, tls=context) as gateway:
        ports = (gateway.http_port, gateway.grpc_port)
        url = f"127.0.0.1:{gateway.grpc_port}"
        assert gateway.request("GET", "/v1/models").status == 200
        assert [shown(port, authority) for port in ports] == ["first", "first"]
        with Sat2SoundClient(url, access=access) as client:
            assert client.embed_text("waves").shape == (1, 256)
        with (
            Sat2SoundClient(url, access=Access(token_file=access.token_file), deadline=20) as plain,
            pytest.raises(ServerUnreachable, match="SAT2SOUND_TLS"),
        ):
            plain.embed_text("waves")
        for name in ("second", "third"):  # twice: a watch on the file itself would end with the first
            secret.write(authority.issue(name))
            wait_for(lambda name=name: [shown(port, authority) for port in ports] == [name, name])  # type: ignore[misc]
        secret.key.resolve().write_text("no key")  # a renewal that went wrong: the last good pair stays
        wait_for(lambda: any("cannot be used" in line["message"] for line in gateway.lines))
        assert [shown(port, authority) for port in ports] == ["third", "third"]
        assert gateway.request("GET", "/v1/models").status == 200
        with Sat2SoundClient(url, access=access) as client:
            assert client.embed_text("waves").shape == (1, 256)
