"""`sat2sound evaluate` as a person runs it: figures as JSON and as tables, and mistakes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from starter_folder import write_starter_folder
from typer.testing import CliRunner, Result

from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.clients.cli.main import app
from sat2sound.serving.launcher import TritonServer

FIGURES = ("scene_top1", "image_to_group_top1", "audio_to_group_top1", "text_to_scene_p10")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "160", "NO_COLOR": "1"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_starter_folder(tmp_path_factory.mktemp("data"), train=1, other=2)


def test_the_starter_as_json(folder: Path) -> None:
    done = run("--model", "starter", "--data", folder, "--split", "test", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    for name in FIGURES:
        assert set(found[name]) == {"value", "low", "high", "n"}
        assert 0.0 <= found[name]["low"] <= found[name]["value"] <= found[name]["high"] <= 1.0
    assert found["scene_top1"]["n"] == 6
    assert found["about"]["model"] == "starter"
    assert found["skipped"] == []


def test_a_server_as_tables(folder: Path, server: TritonServer) -> None:
    done = run("--server", server.grpc_url, "--data", folder)
    assert done.exit_code == 0, done.output
    for word in (server.grpc_url, *FIGURES, "agricultural"):
        assert word in done.stdout


def test_a_damaged_image_fails_the_run_unless_allowed(tmp_path: Path) -> None:
    folder = write_starter_folder(tmp_path, train=1, other=2)
    damaged = next(folder.glob("images/beach/test0.png"))
    damaged.write_bytes(damaged.read_bytes()[:200])
    refused = run("--data", folder)
    assert refused.exit_code == ExitCode.INVALID
    assert "1 of 6 image entries cannot be used" in refused.stderr
    assert "images/beach/test0.png" in refused.stderr
    allowed = run("--data", folder, "--max-skipped", 0.2)
    assert allowed.exit_code == 0
    assert "skipped image of images/beach/test0.png" in allowed.stdout


def test_mistakes_are_told(folder: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{probe.getsockname()[1]}"
        for arguments, code, words in (
            (("--data", folder, "--split", "tset"), ExitCode.INVALID, "no rows of split 'tset'"),
            (("--data", tmp_path), ExitCode.INVALID, "no known layout"),
            (("--data", folder, "--model", "a", "--server", "b:1"), ExitCode.INVALID, "either --model or --server"),
            (("--data", folder, "--model", "absent.ckpt"), ExitCode.INVALID, "absent.ckpt"),
            (("--data", folder, "--server", closed), ExitCode.UNAVAILABLE, closed),
        ):
            done = run(*arguments)
            assert done.exit_code == code, done.output
            assert words in done.stderr
