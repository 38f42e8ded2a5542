"""`make bench`: its quick variant really runs, and its arithmetic is right."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from shared_data import ROOT

from benchmarks.serving import perf_analyzer, process_tree
from benchmarks.serving.__main__ import Rounds, fitting_rounds
from benchmarks.serving.closed_loop import Call, closed_loop
from benchmarks.serving.goals import best_bare, judge
from benchmarks.serving.sample import Sample, combine, ratio

SYSTEMS = ("bare onnxruntime", "triton", "FastAPI + torch")
LOADS = ("perf_analyzer", "HTTP loop", "Sat2SoundClient", "AsyncSat2SoundClient")


def sample(speed: float, p99: float = 100.0) -> Sample:
    return Sample(speed, p99 / 2, p99 * 0.9, p99, requests=10, server_cpu_ms=20.0, memory_mb=100.0, resident_mb=150.0)


def test_a_quick_run_measures_every_kind_of_contender(repository: Path, tmp_path: Path) -> None:
    try:
        perf_analyzer.fetch()
    except perf_analyzer.NoLoadGenerator as problem:
        pytest.skip(f"NVIDIA's load generator cannot be fetched here: {problem}")
    command = [sys.executable, "-m", "benchmarks.serving", "--quick", "--seconds", "1"]
    done = subprocess.run(
        [*command, "--repository", str(repository), "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads((tmp_path / "starter.json").read_text())
    rows = document["rows"]
    assert {name.split(" | ")[0] for name in rows} == set(SYSTEMS)
    assert {load for name in rows for load in LOADS if f"| {load} |" in name} == set(LOADS)
    for name, row in rows.items():
        middle = row["median"]
        assert 0.5 < middle["images_per_second"] < 10_000, name
        assert 0.1 < middle["p50"] <= middle["p95"] <= middle["p99"] < 60_000, name
        # Latency and throughput agree (Little's law): so many are in flight, within what the window's edges blur.
        batch = int(name.split("batch ")[1].split(" ")[0]) if "batch " in name else 1
        in_flight = int(name.rsplit(" | ", 1)[1]) * batch
        assert 0.3 < middle["images_per_second"] * middle["p50"] / 1000 / in_flight < 2.5, name
        assert 0.5 < middle["server_cpu_ms"] < 2_000, name
        assert 20 < middle["memory_mb"] <= middle["resident_mb"] < 20_000, name
    served = next(row["median"] for name, row in rows.items() if "perf_analyzer" in name)
    encoder = served["models"]["satellite_encoder"]
    assert encoder["images"] >= 1
    assert 1 <= encoder["images_per_run"] <= 16
    assert encoder["compute_infer_ms"] > 0.5
    assert [goal["title"] for goal in document["goals"]] == [
        "served / bare, float32, 4 in flight",
        "served / FastAPI + torch, float32, 4 in flight",
    ]
    assert all(goal["ratio"]["of_medians"] > 0.01 for goal in document["goals"])
    assert document["machine"]["processor"].startswith(f"{os.cpu_count()} cores")
    table = (tmp_path / "starter.md").read_text()
    assert done.stdout.strip() == table.strip()
    assert all(system in table for system in SYSTEMS)
    assert "Load average" in table


def test_a_goal_compares_medians_of_the_same_rounds_and_p99() -> None:
    served = "triton | int8 | embed_pixels | HTTP loop | 4"
    peer = "FastAPI + torch | float32 | embed_pixels | HTTP loop | 4"
    faster = {served: [sample(70), sample(90), sample(80)], peer: [sample(50), sample(45), sample(40)]}
    (verdict,) = judge("starter", faster)
    assert verdict.least == 1.4
    assert verdict.ratio.of_medians == pytest.approx(80 / 45)
    assert verdict.ratio.low == pytest.approx(70 / 50)
    assert verdict.ratio.high == pytest.approx(2.0)
    assert verdict.met
    (slow_tail,) = judge("starter", {**faster, served: [sample(80, p99=101)] * 3})
    assert slow_tail.p99_ms == (101, 100)
    assert not slow_tail.met
    (too_slow,) = judge("starter", {**faster, served: [sample(60)] * 3})
    assert not too_slow.met


def test_bare_is_the_fastest_setting_of_its_precision() -> None:
    samples = {
        "bare onnxruntime | float32 | embed_pixels | 1 threads, batch 4 | 1": [sample(40), sample(90), sample(50)],
        "bare onnxruntime | float32 | embed_pixels | 2 threads, batch 2 | 1": [sample(60), sample(55), sample(58)],
        "bare onnxruntime | int8 | embed_pixels | 2 threads, batch 2 | 1": [sample(99)] * 3,
        "triton | float32 | embed_pixels | perf_analyzer | 4": [sample(52.2)] * 3,
    }
    assert best_bare(samples, "float32").endswith("2 threads, batch 2 | 1")
    (verdict,) = judge("starter", samples)
    assert verdict.ratio.of_medians == pytest.approx(0.9)
    assert verdict.met


def test_rounds_are_gone_on_with_if_every_kind_of_contender_was_in_all() -> None:
    bare, served = "bare onnxruntime | int8 | embed_pixels", "triton | int8 | embed_pixels | HTTP loop | 4"
    turn = Sample(10.0, 1.0, 1.0, 1.0, 10)
    finished: Rounds = [{f"{bare} | batch {size} | 1": turn for size in (4, 6)} | {served: turn}] * 2
    assert fitting_rounds(finished, [f"{bare} | batch 6 | 1", f"{bare} | batch 8 | 1", served]) == finished
    assert fitting_rounds(finished, [f"{bare} | batch 2 | 1", f"{bare} | batch 8 | 1", served]) == []
    assert fitting_rounds([], [served]) == []


def test_rows_are_medians_of_the_turns() -> None:
    row = combine([sample(10, 300), sample(30, 100), sample(20, 200)])
    assert (row.median.images_per_second, row.median.p99, row.low, row.high, row.turns) == (20, 200, 10, 30, 3)
    assert row.median.requests == 30
    assert ratio([sample(10)], [sample(40)]).of_medians == 0.25


def test_the_closed_loop_keeps_its_callers_busy_and_counts_the_window_only() -> None:
    asked: list[int] = []

    def call(number: int) -> None:
        asked.append(number)
        time.sleep(0.02)

    @contextmanager
    def caller() -> Iterator[Call]:
        yield call

    found, answered = closed_loop(caller, 3, seconds=0.6, warm_up=0.2)
    assert answered == len(asked) == len(set(asked))
    assert found.requests < answered  # those of the warm-up are left out
    assert found.p50 >= 20
    assert found.images_per_second == pytest.approx(found.requests / 0.6)
    assert found.images_per_second <= 3 / 0.02 + 5


def test_a_failing_call_ends_the_run_with_its_reason() -> None:
    def call(number: int) -> None:
        raise RuntimeError("was answered 503")

    @contextmanager
    def caller() -> Iterator[Call]:
        yield call

    with pytest.raises(RuntimeError, match="503"):
        closed_loop(caller, 2, seconds=5, warm_up=0)


def test_a_process_with_children_is_counted_as_a_whole() -> None:
    work = "import subprocess, sys, time; e = time.process_time() + 0.3\nwhile time.process_time() < e: pass\n"
    inner = f"{work}print('done', flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        found = process_tree.members(process.pid)
        used = process_tree.cpu_seconds(found)
        memory, resident = process_tree.memory_megabytes(found)
        process.communicate()
    assert len(found) == 2
    assert 0.3 <= used < 3
    assert 5 < memory <= resident < 500
    assert math.isclose(process_tree.cpu_seconds(found), 0.0)
