"""A certificate that is renewed while the gateway runs, as a mounted Kubernetes Secret is."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from sat2sound.errors import ConfigurationError
from sat2sound.serving.gateway.logs import LOGGER

CHECK_SECONDS = 1.0  # a renewed certificate is shown to new connections this much later at most


def check(certificate: Path, key: Path) -> None:
    """Raises ConfigurationError if the files are not a certificate and its key."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{certificate} and {key} are not a certificate and its key in PEM: {error.strerror or error}"
        ) from None


async def follow(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load the files into the context whenever they change; until cancelled.

    They are looked at, not watched: a Secret is renewed by turning a symbolic link, of which a watch on the files
    behind it sees the first turn only, when what it watches is removed. Files that do not fit together, as in the
    middle of a renewal, are tried again; until then the connections see the last good pair.
    """
    shown = _stamp(certificate, key)
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        found = _stamp(certificate, key)
        if found in (shown, None):
            continue
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            LOGGER.warning("the renewed certificate %s cannot be used: %s", certificate, error)
        else:
            shown = found
            LOGGER.info("the certificate was renewed")


def _stamp(*files: Path) -> tuple[tuple[int, int, int], ...] | None:
    try:
        seen = [file.stat() for file in files]
    except OSError:  # absent for a moment
        return None
    return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in seen)
