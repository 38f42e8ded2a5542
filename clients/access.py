"""How a server is approached: TLS, a bearer token, the inference key. All from files, so that it can be rotated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from sat2sound.contract import INFERENCE_HEADER
from sat2sound.errors import ConfigurationError

TLS_VARIABLE = "SAT2SOUND_TLS"
AUTHORITY_FILE_VARIABLE = "SAT2SOUND_TLS_CA_FILE"
CERTIFICATE_FILE_VARIABLE = "SAT2SOUND_TLS_CERTIFICATE_FILE"
PRIVATE_KEY_FILE_VARIABLE = "SAT2SOUND_TLS_KEY_FILE"
TOKEN_FILE_VARIABLE = "SAT2SOUND_TOKEN_FILE"  # noqa: S105 (the name of a variable)
KEY_FILE_VARIABLE = "SAT2SOUND_INFERENCE_KEY_FILE"
_YES, _NO = ("1", "true", "yes"), ("", "0", "false", "no")


@dataclass(frozen=True)
class Access:
    """Which credentials a connection uses. Nothing is read before the first use.

    tls: encrypt and check the server's certificate, against authority_file (PEM) or else the system's authorities.
    certificate_file, private_key_file (PEM): what the client shows of itself, where the server asks for it.
    token_file: a bearer token, sent with every call; read again for each, so that a rotated one is used at once.
    inference_key_file: what a Triton with restricted protocols (as in k8s/) wants; read again for each call, too.
    """

    tls: bool = False
    authority_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    token_file: Path | None = None
    inference_key_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ConfigurationError(
                "a client certificate needs its private key and the key its certificate: "
                f"set both {CERTIFICATE_FILE_VARIABLE} and {PRIVATE_KEY_FILE_VARIABLE}"
            )
        if not self.tls and (self.authority_file or self.certificate_file):
            raise ConfigurationError(f"certificates are given but TLS is off: set {TLS_VARIABLE}=1")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Access:
        """As the SAT2SOUND_... variables say. Naming an authority or a certificate turns TLS on, unless it is set.

        Raises ConfigurationError for values that contradict each other.
        """

        def file(variable: str) -> Path | None:
            return Path(environ[variable]) if environ.get(variable) else None

        authority, certificate = file(AUTHORITY_FILE_VARIABLE), file(CERTIFICATE_FILE_VARIABLE)
        wish = environ.get(TLS_VARIABLE)
        if wish is not None and wish.lower() not in _YES + _NO:
            raise ConfigurationError(f"{TLS_VARIABLE} is {wish[:40]!r}; expected 1 or 0")
        return cls(
            tls=(authority or certificate) is not None if wish is None else wish.lower() in _YES,
            authority_file=authority,
            certificate_file=certificate,
            private_key_file=file(PRIVATE_KEY_FILE_VARIABLE),
            token_file=file(TOKEN_FILE_VARIABLE),
            inference_key_file=file(KEY_FILE_VARIABLE),
        )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """For the channel; None without TLS. Raises ConfigurationError for a file that cannot be read."""
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=_bytes(self.authority_file, AUTHORITY_FILE_VARIABLE),
            private_key=_bytes(self.private_key_file, PRIVATE_KEY_FILE_VARIABLE),
            certificate_chain=_bytes(self.certificate_file, CERTIFICATE_FILE_VARIABLE),
        )

    def headers(self) -> dict[str, str] | None:
        """What goes with one call, as the files say now; None for nothing. Raises ConfigurationError."""
        headers = {}
        if self.token_file is not None:
            headers["authorization"] = f"Bearer {_secret(self.token_file, TOKEN_FILE_VARIABLE)}"
        if self.inference_key_file is not None:
            headers[INFERENCE_HEADER] = _secret(self.inference_key_file, KEY_FILE_VARIABLE)
        return headers or None


def _bytes(path: Path | None, variable: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the file {path} ({variable}) cannot be read: {error}") from None


def _secret(path: Path, variable: str) -> str:
    """One line of visible ASCII: anything else would not be a header, or another one."""
    try:
        text = (_bytes(path, variable) or b"").decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise ConfigurationError(f"the file {path} ({variable}) holds no single line of ASCII")
    return text
