"""Checkpoints by hub name: from the cache without a network, and a message that says what to do where it is absent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sat2sound.checkpoints import HUB_REPOSITORY

_LOCATE = """
import sys
from sat2sound.checkpoints import locate
from sat2sound.errors import CheckpointError
try:
    print(locate(sys.argv[1]))
except CheckpointError as error:
    print(f"refused: {error}")
"""


def locate_offline(name: str, cache: Path) -> str:
    """In a process of its own: the hub library reads its settings when it is imported."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    command = [sys.executable, "-c", _LOCATE, name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_cached_checkpoint_needs_no_network(tmp_path: Path) -> None:
    folder = tmp_path / f"models--{HUB_REPOSITORY.replace('/', '--')}"
    file = folder / "snapshots" / ("0" * 40) / "sat2sound" / "bingmap_withmeta.ckpt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    assert locate_offline(f"{HUB_REPOSITORY}:bingmap_withmeta", tmp_path) == str(file)


def test_offline_and_not_cached(tmp_path: Path) -> None:
    answer = locate_offline(f"{HUB_REPOSITORY}:sentinel_nometa", tmp_path)
    assert answer.startswith("refused: MVRL/sat2sound:sentinel_nometa")
    assert "download sat2sound/sentinel_nometa.ckpt" in answer
