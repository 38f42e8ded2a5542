"""Every exception that running a server can raise.

Sat2SoundError
`-- ServingError             base of all below
    |-- UnusableEnvironment      `.triton` is missing, incomplete, or has packages that break the server silently
    |-- PortInUse                a port that was asked for belongs to another process
    `-- ServerFailedToStart      .reasons: model -> the server's own reason; .log_file: the whole log
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sat2sound.errors import Sat2SoundError


class ServingError(Sat2SoundError):
    """Base of the errors about running a server."""


class UnusableEnvironment(ServingError):
    """The server's Python environment cannot be used. problem: what is wrong; fix: what to do."""

    def __init__(self, problem: str, *, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; to fix it, {fix}")


class PortInUse(ServingError):
    """Another process listens on a port that was asked for."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        super().__init__(f"{host}:{port} is in use by another process; choose another port, or 0 for any free one")


class ServerFailedToStart(ServingError):
    """The server did not become ready.

    problem: one line. reasons: model name -> why the server says it failed to load. log_file: what the server printed.
    log_tail: its last lines, shown when no model explains the failure.
    """

    def __init__(
        self, problem: str, *, reasons: Mapping[str, str] | None = None, log_file: Path, log_tail: str = ""
    ) -> None:
        self.problem, self.reasons, self.log_file = problem, dict(reasons or {}), log_file
        lines = [problem]
        lines += [f"  {model}: {reason.strip()}" for model, reason in self.reasons.items()]
        if not self.reasons and log_tail:
            lines += [f"  | {line}" for line in log_tail.splitlines()]
        lines.append(f"the whole log is in {log_file}")
        super().__init__("\n".join(lines))
