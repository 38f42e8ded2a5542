"""Bearer tokens from a file that may change while the gateway runs, as a mounted Kubernetes Secret does."""

from __future__ import annotations

import hmac
import time
from pathlib import Path

from sat2sound.errors import ConfigurationError

_CHECK_SECONDS = 1.0  # a rotated token is accepted, and a removed one refused, this much later at most


class Tokens:
    """The valid tokens: one per line, "#" starts a comment. path: None lets everybody in."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._checked = 0.0
        self._valid: tuple[bytes, ...] = ()
        if path is not None:
            self._read(path)
            if not self._valid:
                raise ConfigurationError(f"{path} holds no token; write one per line")

    def admits(self, authorization: str | None) -> bool:
        """Whether the value of an Authorization header holds a valid bearer token."""
        if self._path is None:
            return True
        if time.monotonic() - self._checked > _CHECK_SECONDS:
            self._reread(self._path)
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        given = token.strip().encode()
        # Every token is compared, each in constant time: how long it takes tells nothing.
        return sum(hmac.compare_digest(given, valid) for valid in self._valid) > 0

    def _reread(self, path: Path) -> None:
        self._checked = time.monotonic()
        try:
            self._read(path)
        except ConfigurationError:
            return  # a Secret being replaced is absent for a moment; the known tokens stay valid

    def _read(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the token file {path} cannot be read: {error}") from None
        tokens = (line.partition("#")[0].strip() for line in lines)
        self._valid = tuple(token.encode() for token in tokens if token)
        self._stamp = stamp
