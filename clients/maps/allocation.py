"""How glibc keeps memory, while blocks of crops come and go by the hundred megabytes."""

from __future__ import annotations

import ctypes

# Numbers of glibc's malloc.h (mallopt(3)).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MEBIBYTE = 2**20


def keep_freed_memory() -> bool:
    """Have this process reuse the memory of a block for the next one. Returns whether the C library can do that.

    By default glibc hands large pieces back to the system as soon as they are free, and gets them again page by page,
    zeroed: for crops this took a quarter of a worker's processor time. What is kept was once in use at the same time:
    the peak hardly grows. Applies to the whole process, and does nothing with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl has none, Windows no library of this process
        return False
    settings = {_MMAP_THRESHOLD: 32 * _MEBIBYTE, _TRIM_THRESHOLD: 256 * _MEBIBYTE, _TOP_PAD: 64 * _MEBIBYTE}
    taken = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(taken)
