"""Replace a whole folder so that it is the old one or the new one at any moment, whenever the writer is killed."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """An empty folder beside `destination` to fill; at the end it takes the destination's place, on an error it goes.

    Writers of the same destination wait for each other, and remove what killed ones have left behind.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _alone(destination):
        for leftover in destination.parent.glob(f".{destination.name}.partial-*"):
            shutil.rmtree(leftover)
        partial = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.partial-"))
        partial.chmod(0o755)  # mkdtemp is for private things; servers run as other users
        try:
            yield partial
            _take_place(partial, destination)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def workshop(destination: Path) -> Iterator[Path]:
    """An empty folder beside `destination` to make things in, gone afterwards; one builder per destination at a time.

    What a killed builder left in it is removed by the next one.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    folder = destination.parent / f".{destination.name}.build"
    with _alone(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(destination: Path) -> Iterator[None]:
    with (destination.parent / f".{destination.name.removeprefix('.')}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, also by a process that is killed
        yield


def _take_place(new: Path, destination: Path) -> None:
    """Move `new` to `destination`; what was there lies at `new` afterwards."""
    if not destination.exists():
        new.rename(destination)
    elif not _exchange(new, destination):
        # Two steps where the file system cannot do it in one; killed between them, the old folder is beside the gap.
        old = new.with_name(f"{new.name}.old")
        destination.rename(old)
        new.rename(destination)
        old.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where kernel, C library or file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))
