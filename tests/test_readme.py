"""What the README shows exists and runs: its commands, its Python, its links."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from shared_data import ROOT

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.sample_scene import sample_scene_png
from sat2sound.serving.launcher import TritonServer

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """Fenced code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """The `sat2sound` commands, but for `serve`, which does not end by itself."""
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("sat2sound ") and " serve" not in line]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "place.jpg").write_bytes(sample_scene_png())
    return tmp_path


@pytest.mark.parametrize("command", commands())
def test_commands_run(command: str, folder: Path, server: TritonServer) -> None:
    program = Path(sys.executable).with_name("sat2sound")
    done = subprocess.run(
        [str(program), *shlex.split(command)[1:]],
        cwd=folder,
        env={**os.environ, "SAT2SOUND_SERVER": server.grpc_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_demo_still_says_what_is_shown(server: TritonServer) -> None:
    (shown,) = [block for block in blocks("") if "rank" in block]
    scores = [float(score) for score in re.findall(r"^ +\d+ │ ([\d.]+) │", shown, re.MULTILINE)]
    assert len(scores) == 4
    with Sat2SoundClient(server.grpc_url) as client:
        (ranking,) = client.retrieve_sounds([sample_scene_png()], top_k=len(scores))
    assert [sound.score for sound in ranking] == pytest.approx(scores, abs=2e-3)
    words = " ".join(re.sub(r"^ .*?│.*?│", "", shown, flags=re.MULTILINE).split())
    for sound in ranking:
        assert sound.caption in words


def test_python_runs(folder: Path, server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = blocks("python")
    assert len(found) == 2
    for block in found:
        exec(compile(block.replace("localhost:8001", server.grpc_url), "README.md", "exec"), {})  # noqa: S102


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {name for text in DOCUMENTS for name in re.findall(r"`?make ([a-z-]+)", text.read_text(encoding="utf-8"))}
    assert named >= {"demo", "test"}
    for name in named - {"alone"}:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"make {name} is not a target"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", text):
        path = next(part for part in target if part)
        if not path.startswith("http"):
            assert (document.parent / path).exists(), f"{document.name} links to {path}"
