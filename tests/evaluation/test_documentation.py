"""docs/evaluation.md: its commands and its Python run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from shared_data import ROOT
from starter_folder import write_starter_folder
from typer.testing import CliRunner

from sat2sound.clients.cli.main import app
from sat2sound.serving.launcher import TritonServer

TEXT = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_commands_run(tmp_path: Path, server: TritonServer) -> None:
    folder = write_starter_folder(tmp_path, train=1, other=2)
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 3
    for command in commands:
        told = command.replace("../shared/data", str(folder)).replace("localhost:8001", server.grpc_url)
        done = CliRunner().invoke(app, shlex.split(told)[1:])
        assert done.exit_code == 0, done.output
        assert "text_to_scene_p10" in done.stdout


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("python")
    exec(compile(block, "evaluation.md", "exec"), {})  # noqa: S102
    found = json.loads(capsys.readouterr().out.replace("'", '"'))
    assert found["n"] == 2
