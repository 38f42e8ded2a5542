"""docs/captioning.md: its commands run, with a local endpoint and a tiny LLaVA in the places of the large ones."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from caption_endpoint import CaptionEndpoint, completion
from PIL import Image
from shared_data import ROOT
from tiny_llava import write_tiny_llava
from typer.testing import CliRunner

from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.clients.cli.main import app

TEXT = (ROOT / "docs" / "captioning.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for index in range(3):
        Image.new("RGB", (256, 256), (80 * index, 40, 80)).save(tmp_path / "images" / f"{index}.png")
    (tmp_path / "images.csv").write_text("image\n" + "".join(f"images/{index}.png\n" for index in range(3)))
    return tmp_path


def test_the_endpoint_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAT2SOUND_CAPTION_TOKEN", "secret")
    with CaptionEndpoint(lambda request: (200, completion("Waves."))) as server:
        done = CliRunner().invoke(app, shlex.split(COMMANDS[0].replace("http://localhost:8000/v1", server.url))[1:])
    assert done.exit_code == 0, done.output
    assert pq.read_table(folder / "captions.parquet")["llava_caption_aerial_zl1"].to_pylist() == ["Waves."] * 3
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer secret"}
    assert "secret" not in (folder / "captions.parquet.journal").read_text() + done.output


def test_the_local_command(folder: Path) -> None:
    write_tiny_llava(folder / "path" / "to" / "llava")
    assert len(COMMANDS) == 2
    done = CliRunner().invoke(app, shlex.split(COMMANDS[1])[1:])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"images/{index}.png" for index in range(3)]
    assert all(row["llava_caption_aerial_zl1"] for row in rows)


@pytest.mark.parametrize(
    ("status", "code"), [(401, ExitCode.REFUSED), (503, ExitCode.UNAVAILABLE), (400, ExitCode.INVALID)]
)
def test_exit_codes(status: int, code: ExitCode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sat2sound.captioning.endpoint.FREE_RETRIES", 1)
    monkeypatch.setattr("sat2sound.captioning.endpoint.FIRST_WAIT_SECONDS", 0.01)
    with CaptionEndpoint(lambda request: (status, "no")) as server:
        done = CliRunner().invoke(app, shlex.split(COMMANDS[0].replace("http://localhost:8000/v1", server.url))[1:])
    assert done.exit_code == code, done.output
    assert str(status) in done.stderr
    assert "Traceback" not in done.stderr
