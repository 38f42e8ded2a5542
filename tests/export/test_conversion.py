"""Conversions to other precisions write the same bytes in every process, and leave the file that they are made from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sat2sound.digests import file_sha256
from sat2sound.errors import ConfigurationError
from sat2sound.export.conversion import CONVERTERS
from sat2sound.export.gates import PRECISIONS

CONVERT = """
import sys
from pathlib import Path
from sat2sound.export.conversion import CONVERTERS
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
for precision, convert in CONVERTERS.items():
    convert("satellite_encoder", source, folder / precision / "satellite_encoder.onnx")
"""


def converted(source: Path, folder: Path, seed: str) -> dict[str, str]:
    """Digests by precision, from a process whose sets and dictionaries of strings are ordered by `seed`."""
    command = [sys.executable, "-c", CONVERT, str(source), str(folder)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return {precision: file_sha256(folder / precision / "satellite_encoder.onnx") for precision in CONVERTERS}


def test_every_process_writes_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    source = repository / "satellite_encoder" / "1" / "model.onnx"
    before = file_sha256(source)
    one, other = (converted(source, tmp_path / seed, seed) for seed in ("1", "2"))
    assert one == other
    assert file_sha256(source) == before
    assert one.pop("tf32") == before  # the float32 file: a switch of the runtime makes it TF32
    assert len({before, *one.values()}) == 1 + len(one)


def test_every_precision_can_be_made() -> None:
    assert CONVERTERS.keys() == set(PRECISIONS) - {"float32"}


def test_int8_of_a_graph_without_large_products_is_refused(small_repository: Path, tmp_path: Path) -> None:
    source = small_repository / "query_scores" / "1" / "model.onnx"
    with pytest.raises(ConfigurationError, match="query_scores"):
        CONVERTERS["int8"]("query_scores", source, tmp_path / "query_scores.onnx")
