"""tools/setup.sh: what it leaves behind when it is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shared_data import ROOT

# Stands for an environment whose pip takes long: two processes, as pip has while it builds a package.
PYTHON = """#!/bin/sh
case "$*" in
    *"pip --version"*) exit 0 ;;
    *"pip install"*) sleep 300 & echo $$ $! > pids.partial; mv pids.partial pids; wait ;;
    *) exit 1 ;;
esac
"""


def running(pid: str) -> bool:
    """Whether it runs; what has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_set_up_ends_pip(tmp_path: Path, number: signal.Signals) -> None:
    for name in ("tools", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / ".triton" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    process = subprocess.Popen(
        ["sh", "tools/setup.sh", "triton"],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": sys.executable},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pids").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, number)  # as a terminal does
        assert process.wait(timeout=20) == 130
    finally:
        process.kill()
    assert process.stderr is not None
    assert "interrupted" in process.stderr.read()
    process.stderr.close()
    deadline = time.monotonic() + 5
    for pid in (tmp_path / "pids").read_text().split():
        while running(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not running(pid)
    assert not list((tmp_path / ".triton").glob(".installed-*"))
