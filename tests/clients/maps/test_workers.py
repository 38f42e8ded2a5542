"""Dask workers and schedulers that die, or are not there."""

from __future__ import annotations

import dataclasses
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_maps import cell_colours, coloured_cells, raster_plan, write_raster

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps.embedding import EmbeddingReport, RunSettings, fill_map
from sat2sound.clients.maps.errors import MapError
from sat2sound.clients.maps.identity import ModelIdentity, served_identity
from sat2sound.clients.maps.plan import Plan
from sat2sound.clients.maps.store import Status, open_map_store

FAST = RunSettings(concurrency=3, flush_seconds=0.2)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """1,280 cells."""
    raster = write_raster(tmp_path_factory.mktemp("map") / "a.tif", coloured_cells(cell_colours(5, 4)))
    return raster_plan(raster, spacing=10.0, stored="float32")


@pytest.fixture(scope="module")
def model(tiny_server: Any) -> ModelIdentity:
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        return served_identity(client)


def fill(path: Path, plan: Plan, model: ModelIdentity, server: Any, **options: Any) -> EmbeddingReport:
    return fill_map(path, plan, model, server.grpc_url, **{"settings": FAST, **options})


def test_all_workers_die(plan: Plan, model: ModelIdentity, tiny_server: Any, tmp_path: Path) -> None:
    """Those that come in their place do the rest, and what they were doing."""
    killed: list[str] = []

    def kill_once(finished: int, total: int) -> None:
        if finished > total // 4 and not killed:
            for worker in multiprocessing.active_children():
                worker.kill()
                killed.append(worker.name)

    settings = dataclasses.replace(FAST, workers=2)
    report = fill(tmp_path / "a.zarr", plan, model, tiny_server, settings=settings, report=kill_once)
    assert len(killed) == 2
    assert (report.complete, report.failures) == (True, {})
    fill(tmp_path / "b.zarr", plan, model, tiny_server)
    embeddings = [open_map_store(tmp_path / name).array("embedding")[:] for name in ("a.zarr", "b.zarr")]
    np.testing.assert_array_equal(*embeddings)


@pytest.fixture
def scheduler() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler in a process of its own, without workers: its address, and the process."""
    with ExitStack() as stack:
        command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        stack.callback(process.communicate)
        stack.callback(process.kill)
        assert process.stderr is not None
        for line in process.stderr:
            if b"Scheduler at" in line:
                break
        yield line.split()[-1].decode(), process


def test_a_scheduler_without_workers(
    scheduler: tuple[str, Any], plan: Plan, model: ModelIdentity, tiny_server: Any, tmp_path: Path
) -> None:
    settings = dataclasses.replace(FAST, scheduler=scheduler[0], patience=1.0)
    with pytest.raises(MapError, match="no worker for 1 seconds"):
        fill(tmp_path / "a.zarr", plan, model, tiny_server, settings=settings)


def test_a_scheduler_that_goes_away(
    scheduler: tuple[str, Any], plan: Plan, model: ModelIdentity, tiny_server: Any, tmp_path: Path
) -> None:
    address, process = scheduler
    path = tmp_path / "a.zarr"
    settings = dataclasses.replace(FAST, scheduler=address, patience=30.0)
    command = [sys.executable, "-m", "dask", "worker", address, "--nthreads", "2", "--no-nanny", "--no-dashboard"]
    worker = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)

    def kill(finished: int, total: int) -> None:
        if finished > total // 4:
            process.kill()

    try:
        with pytest.raises(MapError, match="connection to the Dask scheduler was lost"):
            fill(path, plan, model, tiny_server, settings=settings, report=kill)
    finally:
        worker.kill()
        worker.wait()
    counts = open_map_store(path).counts()
    assert counts[Status.DONE] > 0
    assert counts[Status.FAILED] == 0
    assert fill(path, plan, model, tiny_server).complete
