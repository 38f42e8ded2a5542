"""The GPU benchmark: its limits are those in the documentation, and it runs, or says why it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from shared_data import ROOT

DOCUMENT = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
HOPPER_BFLOAT16 = 989.4e12  # NVIDIA's data sheet, dense


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_the_documented_limits_are_what_the_program_computes() -> None:
    done = run("benchmarks.gpu_limits")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    assert len(lines) > 30
    assert [line for line in lines if line not in DOCUMENT.splitlines()] == []
    # One stage by hand: 201 tokens, 1024 numbers each, with 16,000 concepts.
    row = next(line for line in lines if line.startswith("| of it, the codebook product") and "bfloat16" in line)
    operations = 2 * 201 * 1024 * 16_000
    assert f"| {operations / 1e9:.2f} |" in row
    assert row.endswith(f"| {HOPPER_BFLOAT16 / operations:,.0f} |")


def test_it_measures_on_the_processor(small_repository: Path) -> None:
    done = run("benchmarks.gpu", str(small_repository), "--device", "cpu", "--batches", "2")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| torch", "| onnxruntime", "| Triton"))]
    assert [row.split("|")[1].strip() for row in rows] == ["torch", "torch", "onnxruntime", "onnxruntime", "Triton"]
    assert all("_encoder " in row and "% |" in row for row in rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="onnxruntime has CUDA")
def test_without_a_gpu_it_says_what_is_missing(small_repository: Path) -> None:
    done = run("benchmarks.gpu", str(small_repository))
    assert done.returncode == 6
    for way in ("torch", "onnxruntime", "Triton"):
        assert f"{way} is left out: " in done.stderr
