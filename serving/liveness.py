"""Whether a Triton server can still serve: it answers, and none of its python backend processes has died.

Triton's own endpoints do not say so. Measured on 2.51: after `kill -9` of a model's stub process, every request that
needs the model fails after a second (INTERNAL, "Stub process ... is not healthy"), no new stub is ever started, and
/v2/health/live, /v2/health/ready and the model's own readiness stay 200. But the server does not collect the process
either, so that it stays in the process table as a zombie; that is what is looked for here.
"""

from __future__ import annotations

from pathlib import Path

from sat2sound.serving.control import Control

_STUB = "triton_python_b"  # the kernel keeps 15 characters of triton_python_backend_stub
_DEAD = ("Z", "X", "x")


def dead_stubs(server: int, processes: Path = Path("/proc")) -> list[int]:
    """Process ids of the python backend processes of this server (its process id) that have died, sorted."""
    dead = []
    for entry in processes.glob("[0-9]*/stat"):
        try:
            text = entry.read_text(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        state, parent = text[text.rindex(")") + 1 :].split()[:2]
        if name == _STUB and int(parent) == server and state in _DEAD:
            dead.append(int(entry.parent.name))
    return sorted(dead)


def why_not_alive(control: Control, server: int) -> str:
    """What keeps the server with this process id from serving; "" if nothing does."""
    if not control.is_live():
        return f"no Triton server answers on {control.host}:{control.port}"
    if dead := dead_stubs(server):
        return f"{len(dead)} python backend processes have died (process ids {', '.join(map(str, dead))})"
    return ""
