"""What docs/clients.md says is so: its Python and its commands run, its tables are the code's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from shared_data import ROOT

from sat2sound.clients import errors
from sat2sound.clients.access import Access
from sat2sound.clients.cli.exit_codes import MEANINGS
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.retries import BRIEF, RetryBudget, Tries
from sat2sound.clients.sample_scene import sample_scene_png
from sat2sound.clients.statuses import MEANINGS as STATUSES
from sat2sound.serving.launcher import TritonServer

DOCUMENT = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def table(head: str) -> list[list[str]]:
    """The rows of the table whose head starts so."""
    rows = DOCUMENT[DOCUMENT.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the snippets name."""
    (tmp_path / "photos").mkdir()
    for name in ("place.jpg", "beach.jpg", "photos/one.png"):
        (tmp_path / name).write_bytes(sample_scene_png())
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_runs(folder: Path, tiny_server: TritonServer, capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks("python")
    assert len(found) == 2
    for block in found:
        exec(compile(block.replace("localhost:8001", tiny_server.grpc_url), "clients.md", "exec"), {})  # noqa: S102
    assert "[(1, 256), (1, 256), (1, 256)]" in capsys.readouterr().out


@pytest.mark.parametrize("block", range(2))
def test_commands_run(block: int, folder: Path, tiny_server: TritonServer) -> None:
    script = blocks("sh")[block].replace("localhost:8001", tiny_server.grpc_url)
    script = script.replace("http://localhost:8000", tiny_server.http_url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SAT2SOUND_SERVER": tiny_server.grpc_url,
            "no_proxy": "*",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    if block == 0:
        assert (folder / "embeddings.parquet").is_file()


def test_exit_codes() -> None:
    assert table("exit code") == [[str(code.value), meaning] for code, meaning in MEANINGS.items()]


def test_errors_and_retries() -> None:
    rows = {name: (set(statuses.split(", ")), tried) for name, statuses, tried, _ in table("exception")}
    assert set(rows) == {row.error.__name__ for row in STATUSES}
    for name, (statuses, tried) in rows.items():
        assert statuses == {row.status.name for row in STATUSES if row.error.__name__ == name}, name
        tries = Tries(BRIEF, RetryBudget(BRIEF.share), Deadline(60))
        try:
            again = tries.pause_after(getattr(errors, name)("so")) > 0
        except errors.ClientError:
            again = False
        assert again == (tried == "yes"), name
    assert {status for statuses, _ in rows.values() for status in statuses} == {
        status.name for status in grpc.StatusCode if status is not grpc.StatusCode.OK
    }


def test_variables(tmp_path: Path) -> None:
    named = [variable for row in table("variable") for variable in row[0].split(", ")]
    for name in named:
        (tmp_path / name).write_text("secret")
    files = {name: str(tmp_path / name) for name in named if name.endswith("_FILE")}
    access = Access.from_environment({**files, "SAT2SOUND_TLS": "1"})
    assert {str(value) for value in vars(access).values() if value is not True} == set(files.values())
    assert access.tls
