"""docs/evaluation.md: its commands and its Python run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from local_hub import LocalHub
from shared_data import ROOT
from small_model import write_small_checkpoint
from starter_folder import write_starter_folder
from typer.testing import CliRunner

from sat2sound.clients.cli.main import app
from sat2sound.serving.launcher import TritonServer

TEXT = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_commands_run(tmp_path: Path, server: TritonServer) -> None:
    folder = write_starter_folder(tmp_path, train=1, other=2)
    commands = [line for block in blocks("sh") for line in block.splitlines() if "MVRL" not in line]
    assert len(commands) == 3
    for command in commands:
        told = command.replace("../shared/data", str(folder)).replace("localhost:8001", server.grpc_url)
        done = CliRunner().invoke(app, shlex.split(told)[1:])
        assert done.exit_code == 0, done.output
        assert "text_to_scene_p10" in done.stdout


def test_the_command_for_the_hub_runs(tmp_path: Path, hub: LocalHub) -> None:
    (command,) = [line for block in blocks("sh") for line in block.splitlines() if "MVRL" in line]
    checkpoint = write_small_checkpoint(tmp_path)
    told = command.replace("MVRL/sat2sound:sentinel_withmeta", str(checkpoint))
    done = CliRunner().invoke(app, [*shlex.split(told)[1:], "--json", "--resamples", "10"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["about"]["data"] == "MVRL/GeoSound"
    assert [result["n"] for result in found["retrieval"]] == [12] * 10
    assert found["skipped"] == found["notes"] == []
    assert {path.split("-")[0] for path, *_ in hub.reads} <= {"data/train", "data/test"}  # train: one footer


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("python")
    exec(compile(block, "evaluation.md", "exec"), {})  # noqa: S102
    found = json.loads(capsys.readouterr().out.replace("'", '"'))
    assert found["n"] == 2
