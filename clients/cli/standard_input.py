"""`-` in the place of a file: what comes in on standard input."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

_MOST_BYTES = 256 * 1024 * 1024  # more than any server takes


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """The path itself; for `-` a temporary file with the bytes of standard input."""
    if str(path) != "-":
        yield path
        return
    data = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if not data or len(data) > _MOST_BYTES:
        raise typer.BadParameter("standard input is empty" if not data else "standard input has more than 256 MiB")
    with tempfile.TemporaryDirectory(prefix="sat2sound-") as folder:
        copy = Path(folder, "standard input")
        copy.write_bytes(data)
        yield copy
