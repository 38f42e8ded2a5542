"""The commands in docs/export.md run as they stand there, on a small model under the documents' file names."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shared_data import ROOT

from sat2sound.export.gates.tolerances import PRECISIONS, RETRIEVAL, TOLERANCES
from sat2sound.export.inputs import BuildRequest
from sat2sound.export.profiles import PROFILES

DOCUMENT = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
# A checkpoint of the published size takes many minutes: its name stands for the small one.
SMALL = {"bingmap_withmeta.ckpt": "my_model.safetensors", "flan-t5-large": "my_encoder"}


def commands() -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(small_request: BuildRequest, small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("documented")
    source = Path(small_request.model)
    shutil.copyfile(source, place / "my_model.safetensors")
    shutil.copytree(source.parent / "t5", place / "my_encoder")
    shutil.copyfile(small_request.gallery, place / "my_sounds.csv")
    shutil.copytree(small_repository, place / "models")
    return place


@pytest.mark.parametrize("command", commands())
def test_commands_run(command: str, folder: Path) -> None:
    for documented, small in SMALL.items():
        command = command.replace(documented, small)
    program = Path(sys.executable).with_name("sat2sound")
    done = subprocess.run(
        [str(program), *shlex.split(command)[1:]],
        cwd=folder,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "digest" in done.stdout or "gates passed" in done.stdout


def test_commands_are_found() -> None:
    assert len(commands()) == 4


def test_every_profile_is_in_the_table() -> None:
    for name in PROFILES:
        assert f"| {name} |" in DOCUMENT


def test_every_precision_has_limits() -> None:
    assert RETRIEVAL.keys() == set(PRECISIONS)
    for precision in PRECISIONS:
        assert ("encoder", precision) in TOLERANCES
