from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sat2sound.serving.child import Child, group_members

ENVIRONMENT = {"PATH": os.environ["PATH"]}
# A process that starts two more and ignores SIGTERM if asked to.
FAMILY = "trap '{trap}' TERM; sleep 60 & sleep 60 & echo started; while :; do wait; done"


def becomes_true(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def family(log: Path, trap: str) -> Child:
    child = Child(["/bin/sh", "-c", FAMILY.format(trap=trap)], ENVIRONMENT, log)
    assert becomes_true(lambda: "started" in log.read_text())
    return child


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_it_has_a_group_of_its_own_and_writes_to_the_log(log: Path) -> None:
    child = family(log, "exit 7")
    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
    assert len(group_members(child.pid)) == 3
    assert child.returncode is None
    child.end(signal.SIGTERM, 5.0)
    assert child.returncode == 7
    assert not group_members(child.pid)


def test_one_that_ignores_the_signal_is_killed_with_its_group(log: Path) -> None:
    child = family(log, "")
    started = time.monotonic()
    child.end(signal.SIGTERM, 0.3)
    assert time.monotonic() - started > 0.3
    assert child.returncode == -signal.SIGKILL
    assert not group_members(child.pid)


def test_ending_twice_does_no_harm(log: Path) -> None:
    child = family(log, "exit 0")
    child.end(signal.SIGTERM, 5.0)
    child.end(signal.SIGTERM, 5.0)
    assert child.returncode == 0


def test_it_outlives_the_thread_that_asked_for_it(log: Path) -> None:
    children: list[Child] = []
    thread = threading.Thread(target=lambda: children.append(family(log, "exit 0")))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert children[0].returncode is None
    children[0].end(signal.SIGTERM, 5.0)


def test_a_program_that_does_not_exist_ends_with_an_error_in_the_log(log: Path) -> None:
    child = Child(["/no/such/program"], ENVIRONMENT, log)
    assert child.wait(10.0)
    assert child.returncode == 1
    assert "FileNotFoundError" in log.read_text()


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/bin/true"], ENVIRONMENT, tmp_path / "no" / "folder" / "log")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_launcher(log: Path, number: signal.Signals) -> None:
    program = (
        "import sys, time; from pathlib import Path; from sat2sound.serving.child import Child\n"
        "child = Child(['/bin/sleep', '60'], {}, Path(sys.argv[1])); print(child.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(log)], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        assert group_members(pid) == [pid]
        launcher.send_signal(number)
    assert becomes_true(lambda: not group_members(pid))
