"""The servers of a run at the priority of the run itself.

Where the kernel groups processes by session (sched_autogroup), `nice` only counts within a session, and Triton is
started in one of its own: on a machine with other work, a niced run would measure a server that is not niced.
"""

from __future__ import annotations

import re
from pathlib import Path

_LEVEL = re.compile(r"nice (-?\d+)")


def group_level(process: int | str = "self") -> int | None:
    """The level of a process's session; None where sessions are not grouped."""
    try:
        found = _LEVEL.search(Path(f"/proc/{process}/autogroup").read_text(encoding="ascii"))
    except OSError:
        return None
    return int(found[1]) if found else None


def share_priority(process: int) -> None:
    """Give that process's session the level of our own. Raises PermissionError if we may not."""
    level = group_level()
    if level is not None and level != group_level(process):
        Path(f"/proc/{process}/autogroup").write_text(f"{level}\n", encoding="ascii")
