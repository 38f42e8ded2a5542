"""TCP ports for a server that is about to start."""

from __future__ import annotations

import random
import socket

from sat2sound.serving.errors import PortInUse, ServingError

# Below the range that the kernel gives to outgoing connections (32768 and up): the server binds only after it has
# loaded its models, and a port from that range could be taken by any connection in the meantime.
_CHOICES = range(20_000, 32_000)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on host:port now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def choose_ports(host: str, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """One port per wanted one, with every 0 replaced by a free port; all are different.

    Raises PortInUse if a port other than 0 is taken. A free port may still be lost before the server binds it: the
    launcher then tries again.
    """
    taken = [port for port in wanted if port]
    if len(set(taken)) != len(taken):
        raise ServingError(f"the same port was given twice: {', '.join(map(str, taken))}; give each service its own")
    for port in taken:
        if not is_free(host, port):
            raise PortInUse(host, port)
    candidates = (port for port in random.SystemRandom().sample(_CHOICES, len(_CHOICES)) if port not in taken)
    free = (port for port in candidates if is_free(host, port))
    chosen = tuple(port or next(free, 0) for port in wanted)
    if 0 in chosen:
        raise ServingError(f"no free port on {host} between {_CHOICES.start} and {_CHOICES.stop}")
    return chosen
