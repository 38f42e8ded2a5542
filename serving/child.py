"""The server process: started so that it cannot outlive its launcher, stopped with everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue

_SCRIPT = Path(__file__).with_name("die_with_parent.py")
_STUB_SECONDS = 2.0


class Child:
    """One process in a session and process group of its own, so that a terminal's Ctrl-C does not reach it.

    If the launcher dies, even by SIGKILL, the kernel kills the server; its stub processes notice within 0.3 s, free
    their shared memory and exit (measured, also while busy). The kernel watches the *thread* that started the process,
    so a thread that waits for the process starts it.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        started: SimpleQueue[subprocess.Popen[bytes] | OSError] = SimpleQueue()
        arguments = [sys.executable, "-I", "-S", str(_SCRIPT), str(os.getpid()), *command]
        keeper = threading.Thread(
            target=_keep, args=(arguments, dict(environment), log, started), name="server-keeper", daemon=True
        )
        keeper.start()
        outcome = started.get()
        if isinstance(outcome, OSError):
            raise outcome
        self._process = outcome

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status; None while it runs; negative: killed by that signal."""
        return self._process.poll()

    def wait(self, timeout: float) -> bool:
        """Whether it has ended within `timeout` seconds."""
        return _poll(lambda: self.returncode is not None, timeout)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server itself, if it still runs."""
        self._process.send_signal(number)  # which takes care of a process that the keeper has just waited for

    def end(self, number: signal.Signals, patience: float) -> None:
        """Signal the server, give it `patience` seconds to end, then kill it; return when its whole group is gone."""
        self.send(number)
        if not self.wait(patience):
            self.send(signal.SIGKILL)
            self.wait(10.0)
        # Stub processes left behind end by themselves and free their shared memory; killed, they could not.
        if not _poll(lambda: not group_members(self.pid), _STUB_SECONDS):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            _poll(lambda: not group_members(self.pid), 10.0)


def _keep(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    started: SimpleQueue[subprocess.Popen[bytes] | OSError],
) -> None:
    """Start the process and live as long as it does."""
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        started.put(error)
        return
    started.put(process)
    process.wait()


def group_members(group: int) -> list[int]:
    """Process ids in a process group, without those that have ended but were not waited for."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # pid (name) state parent group ...; the name may hold spaces and parentheses
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):  # it ended meanwhile
            continue
        if int(its_group) == group and state not in "ZX":
            members.append(int(folder.name))
    return members


def _poll(done: Callable[[], bool], timeout: float) -> bool:
    """Whether `done` becomes true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
