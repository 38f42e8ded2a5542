"""The shared memory benchmark runs: both ways give the same embeddings, and it says what each took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from shared_data import ROOT


def test_it_measures_both_ways(tiny_repository: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.shared_memory", "--repository", str(tiny_repository)]
    done = subprocess.run(
        [*command, "--requests", "2", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["batch"] for row in rows] == [1, 4, 16]
    for row in rows:
        assert row["region_over_message"] > 0
        for name in ("message_ms", "region_ms"):
            assert 0 < row[name][0] <= row[name][1] <= row[name][2]
