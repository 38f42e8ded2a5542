"""Where and beside what a run took place: numbers of two runs cannot be compared without it."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.serving.priority import group_level

_PACKAGES = ("torch", "fastapi", "uvicorn", "onnxruntime")


def describe() -> dict[str, Any]:
    """Date, hardware, versions, revision, load, and which programs had used a core most when the run began."""
    information = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.partition(":")[2].strip() for line in information.splitlines() if "model name" in line), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} cores, {model}, {platform.machine()}",
        "vector_instructions": [name for name in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if name in information],
        "memory_gb": round(memory, 1),
        "revision": _revision(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "load_average": os.getloadavg()[0],
        "nice": os.nice(0),
        "session_nice": group_level(),
        "other_work": _busy(),
    }


def _revision() -> str:
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def _busy() -> list[str]:
    """Programs that use more than a twentieth of a core, with their share of one."""
    asked = subprocess.run(["ps", "-eo", "pcpu=,comm="], capture_output=True, text=True)
    rows = [line.split(None, 1) for line in asked.stdout.splitlines()]
    shares: dict[str, float] = {}
    for share, name in ((float(row[0]), row[1]) for row in rows if len(row) == 2):
        shares[name] = shares.get(name, 0.0) + share
    busy = sorted(((share, name) for name, share in shares.items() if share > 5), reverse=True)
    return [f"{name} {share:.0f} %" for share, name in busy[:8]]
