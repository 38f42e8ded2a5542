"""Free TCP ports on one address."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports(host: str, count: int) -> list[int]:
    """Ports that were free a moment ago, all different. Whoever binds them may still lose the race and must retry."""
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.bind((host, 0))
            ports.append(int(listener.getsockname()[1]))
        return ports
