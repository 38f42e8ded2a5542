"""NVIDIA's load generator: fetched once, run for one turn, its report read.

The `tritonclient` wheel 2.50.0 carries the program (later ones need a newer glibc); its libraries are in a Debian
package and in NVIDIA's wheel of the CUDA runtime. They are unpacked into build/bench-tools, not installed.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks.serving.sample import Sample

FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench-tools"
_WHEELS = ("tritonclient==2.50.0", "nvidia-cuda-runtime-cu12==12.9.79")
_DEBIAN_PACKAGE = "libb64-0d"
_PASS = re.compile(r"Pass \[(\d+)\] throughput: ([0-9.]+) infer/sec")
_PASSES = 3  # fewer it does not take for a measurement


class NoLoadGenerator(RuntimeError):
    """perf_analyzer could not be fetched or does not run here."""


def fetch(folder: Path = FOLDER) -> Path:
    """Where perf_analyzer is; downloads what is missing. Raises NoLoadGenerator saying what failed."""
    folder = folder.resolve()
    program = folder / "tritonclient-2.50.0.data" / "data" / "bin" / "perf_analyzer"
    library = folder / "usr" / "lib" / "x86_64-linux-gnu" / "libb64.so.0d"
    folder.mkdir(parents=True, exist_ok=True)
    if not program.exists():
        _run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder / "wheels"), *_WHEELS], folder
        )
        for wheel in (folder / "wheels").glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder, [n for n in archive.namelist() if "/bin/perf_" in n or "libcudart.so" in n])
        program.chmod(0o755)
    if not library.exists():
        _run(["apt-get", "download", _DEBIAN_PACKAGE], folder)
        package = next(folder.glob(f"{_DEBIAN_PACKAGE}_*.deb"))
        _run(["dpkg", "-x", str(package), str(folder)], folder)
    _run([str(program), "--version"], folder, _variables(folder))
    return program


def drive(program: Path, url: str, model: str, input_data: Path, concurrency: int, seconds: float) -> Sample:
    """One turn over gRPC, one image per request. Raises CalledProcessError with its output if it fails.

    Three passes of a third more than asked for in all: the first contains the moment in which nothing has been answered
    yet, so that images per second are the mean of the other two. Percentiles are of all passes.
    """
    pass_seconds = seconds / (_PASSES - 1)
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.csv"
        command = [
            str(program), "-m", model, "-i", "grpc", "-u", url, "--input-data", str(input_data), "-v",
            "-f", str(report), "--concurrency-range", str(concurrency), "--max-trials", str(_PASSES),
            "--measurement-interval", str(round(1000 * pass_seconds)), "--stability-percentage", "999",
        ]  # fmt: skip
        done = subprocess.run(command, env=_variables(program.parents[3]), capture_output=True, text=True)
        if done.returncode or not report.exists():
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout[-2000:], done.stderr[-2000:])
        passes = {int(found[1]): float(found[2]) for found in _PASS.finditer(done.stdout)}
        row = next(csv.DictReader(report.open(encoding="utf-8")))
    speeds = [speed for number, speed in passes.items() if number > 1]
    p50, p95, p99 = (float(row[f"p{percent} latency"]) / 1000 for percent in (50, 95, 99))
    speed = sum(speeds) / len(speeds)
    return Sample(speed, p50, p95, p99, requests=round(sum(passes.values()) * pass_seconds))


def _variables(folder: Path) -> dict[str, str]:
    libraries = f"{folder}/usr/lib/x86_64-linux-gnu:{folder}/nvidia/cuda_runtime/lib"
    return {**os.environ, "LD_LIBRARY_PATH": libraries}


def _run(command: list[str], folder: Path, variables: dict[str, str] | None = None) -> None:
    try:
        subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise NoLoadGenerator(f"{' '.join(command)}: {reason.strip()[-500:]}") from error
