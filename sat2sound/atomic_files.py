"""Write a file so that it is the old one or the new one at any moment, whenever the writer is killed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; at the end the file takes its place, on an error it goes.

    Writers of the same path do not disturb each other: the last one wins, whole. Raises OSError.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())  # on the disk before its name is
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
