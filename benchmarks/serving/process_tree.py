"""Processor time and memory of a server with all of its processes, as the kernel counts them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def members(root: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            fields = _statistics(int(folder.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting.extend(parents.get(process, []))
    return found


def cpu_seconds(processes: list[int]) -> float:
    """User and system time together; processes that ended count as nothing."""
    return sum((int(fields[11]) + int(fields[12])) / _TICKS for fields in map(_statistics, processes) if fields)


def memory_megabytes(processes: list[int]) -> tuple[float, float]:
    """PSS and RSS in MB: shared pages counted once among all that share them, and counted in every process."""
    total = _kilobytes(processes)
    return total["Pss"] * 1024 / 1e6, total["Rss"] * 1024 / 1e6


def held_megabytes(processes: list[int]) -> float:
    """What the processes themselves hold, in MB: anonymous and shared memory (PSS) without the pages of files.

    How much of those counts for a process changes with whoever else on the machine has the same libraries open.
    """
    total = _kilobytes(processes)
    return (total["Pss_Anon"] + total["Pss_Shmem"]) * 1024 / 1e6


def _kilobytes(processes: list[int]) -> Counter[str]:
    """Sums of the kernel's counts, by their names; processes that ended count as nothing."""
    total: Counter[str] = Counter()
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except (OSError, ProcessLookupError):
            continue
        for line in lines[1:]:
            name, _, rest = line.partition(":")
            total[name] += int(rest.split()[0])
    return total


def _statistics(process: int) -> list[str]:
    """Fields of /proc/PID/stat after the name, which may hold blanks; empty if it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (OSError, ProcessLookupError):
        return []
