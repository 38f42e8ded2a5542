"""Runs on a real server: complete, resumed, killed, with damaged imagery, with a server that goes away."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_maps import cell_colours, coloured_cells, damage_last_tile, raster_plan, write_raster

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import ServerUnavailable
from sat2sound.clients.maps.area import Area, area_of_file
from sat2sound.clients.maps.crops import block_crops
from sat2sound.clients.maps.embedding import EmbeddingReport, RunSettings, fill_map
from sat2sound.clients.maps.grid import Block
from sat2sound.clients.maps.identity import ModelIdentity, served_identity
from sat2sound.clients.maps.plan import Plan
from sat2sound.clients.maps.store import MapStore, Status, open_map_store
from sat2sound.serving.launcher import TritonServer

FAST = RunSettings(concurrency=3, flush_seconds=0.2)
COLOURS = cell_colours(5, 4)


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raster(tmp_path_factory.mktemp("map") / "a.tif", coloured_cells(COLOURS))


@pytest.fixture(scope="module")
def model(tiny_server: Any) -> ModelIdentity:
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        return served_identity(client)


@pytest.fixture(scope="module")
def dense(raster: Path) -> Plan:
    """1,280 cells."""
    return raster_plan(raster, spacing=10.0, stored="float32")


def fill(path: Path, plan: Plan, model: ModelIdentity, server: Any, **options: Any) -> EmbeddingReport:
    return fill_map(path, plan, model, server.grpc_url, **{"settings": FAST, **options})


def content(path: Path) -> tuple[np.ndarray, np.ndarray]:
    store: MapStore = open_map_store(path)
    return store.array("status")[:], store.array("embedding")[:]


@pytest.fixture(scope="module")
def uninterrupted(
    dense: Plan, model: ModelIdentity, tiny_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[np.ndarray, np.ndarray]:
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    report = fill(path, dense, model, tiny_server)
    assert report.complete
    return content(path)


@pytest.mark.parametrize("stored", ["float32", "float16", "int8"])
def test_a_map_holds_what_the_client_gets(
    stored: Any, raster: Path, model: ModelIdentity, tiny_server: Any, tmp_path: Path
) -> None:
    plan = raster_plan(raster, stored=stored)
    seen: list[tuple[int, int]] = []
    report = fill(tmp_path / "a.zarr", plan, model, tiny_server, report=lambda *counts: seen.append(counts))
    assert report.counts == {Status.PENDING: 0, Status.DONE: 20, Status.NODATA: 0, Status.FAILED: 0}
    assert (report.embedded, report.complete, report.failures) == (20, True, {})
    assert seen[0] == (0, 20)
    assert seen[-1] == (20, 20)
    block = Block(0, 0, 5, 4)
    pixels, _ = block_crops(plan.imagery, plan.grid, plan.footprint, block, np.ones((5, 4), dtype=bool), 0.75)
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        expected = client.embed_pixels(pixels, plan.conditions(block).reshape(-1, 7)).reshape(5, 4, 256)
    store = open_map_store(tmp_path / "a.zarr")
    values = store.array("embedding")[:].astype(np.float32)
    if stored == "int8":
        values = values * store.array("scale")[:][..., None]
    cosines = (values * expected).sum(-1) / np.linalg.norm(values, axis=-1)
    assert cosines.min() > (0.999 if stored == "int8" else 0.999999)
    if stored == "float32":
        np.testing.assert_array_equal(values, expected)


def test_metadata_goes_with_every_cell(raster: Path) -> None:
    conditions = raster_plan(raster, month=7, hour=5).conditions(Block(1, 2, 2, 2))
    assert conditions.shape == (2, 2, 7)
    np.testing.assert_allclose(conditions[..., 0], 0.3, rtol=1e-6)
    np.testing.assert_allclose(conditions[..., 1], 48.75, atol=0.01)
    np.testing.assert_allclose(conditions[..., 2], 15.0, atol=0.01)
    assert conditions[0, 0, 1] > conditions[1, 0, 1]  # rows go south
    assert conditions[0, 0, 2] < conditions[0, 1, 2]  # columns go east
    assert (conditions[..., 3] == 7).all()
    assert (conditions[..., 4] == 5).all()
    assert np.isnan(conditions[..., 5:]).all()


def test_a_finished_map_is_not_touched(raster: Path, model: ModelIdentity, tiny_server: Any, tmp_path: Path) -> None:
    plan = raster_plan(raster)
    fill(tmp_path / "a.zarr", plan, model, tiny_server)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()}
    again = fill(tmp_path / "a.zarr", plan, model, tiny_server)
    assert (again.embedded, again.complete) == (0, True)
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()}


def test_killed_again_and_again_and_resumed(
    uninterrupted: tuple[np.ndarray, np.ndarray], raster: Path, dense: Plan, model: ModelIdentity, tiny_server: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    path = tmp_path / "a.zarr"
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from made_maps import raster_plan
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps.embedding import RunSettings, fill_map
from sat2sound.clients.maps.identity import served_identity
url = {tiny_server.grpc_url!r}
with Sat2SoundClient(url) as client:
    model = served_identity(client)
plan = raster_plan(Path({str(raster)!r}), spacing=10.0, stored="float32")
fill_map(Path({str(path)!r}), plan, model, url, settings=RunSettings(concurrency=3, flush_seconds=0.05))
"""
    total = dense.grid.cells
    progress: list[int] = []
    for least in (1, total // 3, total // 2):
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
        try:
            while process.poll() is None and _finished(path) < least:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            _, said = process.communicate()
        progress.append(_finished(path))
        assert progress[-1] >= least, said.decode()
    assert progress[-1] < total, "the run was finished before it was killed: nothing was tested"
    done = open_map_store(path).counts()[Status.DONE]
    report = fill(path, dense, model, tiny_server)
    assert report.complete
    assert report.embedded == report.counts[Status.DONE] - done
    for got, expected in zip(content(path), uninterrupted, strict=True):
        np.testing.assert_array_equal(got, expected)


def _finished(path: Path) -> int:
    if not path.exists():
        return 0
    counts = open_map_store(path).counts()
    return sum(counts.values()) - counts[Status.PENDING]


def test_damaged_imagery_is_recorded_masked_and_taken_up_again(
    model: ModelIdentity, tiny_server: Any, tmp_path: Path
) -> None:
    whole = write_raster(tmp_path / "a.tif", coloured_cells(cell_colours(9, 9)))
    good = whole.read_bytes()
    plan = raster_plan(whole)
    damage_last_tile(whole)
    report = fill(tmp_path / "a.zarr", plan, model, tiny_server)
    assert report.counts[Status.FAILED] == 1  # the block of the last cell, at the corner
    assert report.counts[Status.DONE] == 80
    assert not report.complete
    ((reason, count),) = report.failures.items()
    assert count == 1
    assert "the imagery cannot be read" in reason
    assert "a.tif" in reason
    again = fill(tmp_path / "a.zarr", plan, model, tiny_server)
    assert again.embedded == 0
    assert again.failures == report.failures
    whole.write_bytes(good)
    settings = dataclasses.replace(FAST, retry_failed=True)
    last = fill(tmp_path / "a.zarr", plan, model, tiny_server, settings=settings)
    assert (last.embedded, last.complete, last.failures) == (1, True, {})


@dataclasses.dataclass(frozen=True)
class PlanWithAFault(Plan):
    """A latitude that no server takes, in the last row of blocks."""

    def conditions(self, block: Block) -> Any:
        table = super().conditions(block)
        if block.row == 8:
            table[..., 1] = 95.0
        return table


def test_cells_that_are_refused(model: ModelIdentity, tiny_server: Any, tmp_path: Path) -> None:
    plan = raster_plan(write_raster(tmp_path / "a.tif", coloured_cells(cell_colours(9, 2))))
    faulty = PlanWithAFault(**{field.name: getattr(plan, field.name) for field in dataclasses.fields(Plan)})
    report = fill(tmp_path / "a.zarr", faulty, model, tiny_server)
    assert report.counts == {Status.PENDING: 0, Status.DONE: 16, Status.NODATA: 0, Status.FAILED: 2}
    ((reason, count),) = report.failures.items()
    assert count == 2
    assert "latitude is 95" in reason


def test_cells_outside_the_area_are_masked(
    raster: Path, model: ModelIdentity, tiny_server: Any, tmp_path: Path
) -> None:
    whole = raster_plan(raster)
    longitude, latitude = whole.grid.longitudes_latitudes(Block(0, 0, 5, 4))
    west, south, east, north = longitude.min(), latitude.min(), longitude.max(), latitude.max()
    region = tmp_path / "region.geojson"
    corners = [[west - 1e-4, south - 1e-4], [east + 1e-4, south - 1e-4], [west - 1e-4, north + 1e-4]]
    ring = [[float(value) for value in corner] for corner in [*corners, corners[0]]]
    region.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    area: Area = area_of_file(region)
    plan = raster_plan(raster, area=area)
    report = fill(tmp_path / "a.zarr", plan, model, tiny_server)
    status, _ = content(tmp_path / "a.zarr")
    inside = plan.inside(Block(0, 0, *status.shape))
    assert 4 < inside.sum() < 16
    assert not (status[~inside] == Status.DONE).any()
    assert report.counts[Status.DONE] >= inside.sum() - 8
    assert report.complete


def test_several_processes_and_a_scheduler_of_ones_own(
    uninterrupted: tuple[np.ndarray, np.ndarray], dense: Plan, model: ModelIdentity, tiny_server: Any, tmp_path: Path
) -> None:
    fill(tmp_path / "a.zarr", dense, model, tiny_server, settings=dataclasses.replace(FAST, workers=2))
    for got, expected in zip(content(tmp_path / "a.zarr"), uninterrupted, strict=True):
        np.testing.assert_array_equal(got, expected)
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0",
                      worker_dashboard_address="127.0.0.1:0") as cluster:  # fmt: skip
        settings = dataclasses.replace(FAST, scheduler=cluster.scheduler_address)
        fill(tmp_path / "b.zarr", dense, model, tiny_server, settings=settings)
    for got, expected in zip(content(tmp_path / "b.zarr"), uninterrupted, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_server_that_goes_away_and_comes_back(
    triton_environment: Any, tiny_repository: Path, dense: Plan, model: ModelIdentity, tmp_path: Path,
    uninterrupted: tuple[np.ndarray, np.ndarray],
) -> None:  # fmt: skip
    path = tmp_path / "a.zarr"
    away, started = threading.Event(), threading.Event()
    first = TritonServer(tiny_repository, environment=triton_environment)
    first.start()
    host, port = first.grpc_url.split(":")

    def stop_once(finished: int, total: int) -> None:
        if finished > total // 4 and not away.is_set():
            first.stop(drain=False)
            away.set()

    impatient = dataclasses.replace(FAST, patience=0.0)
    with pytest.raises(ServerUnavailable):
        fill(path, dense, model, first, settings=impatient, report=stop_once)
    done = open_map_store(path).counts()
    assert done[Status.FAILED] == 0
    assert done[Status.PENDING] > 0
    assert done[Status.DONE] > 0

    def start_late() -> None:
        time.sleep(1.0)
        second.start()
        started.set()

    second = TritonServer(tiny_repository, environment=triton_environment, grpc_port=int(port))
    starter = threading.Thread(target=start_late)
    starter.start()
    try:
        report = fill(path, dense, model, second_address(host, port), settings=dataclasses.replace(FAST, patience=120))
        assert started.is_set()
    finally:
        starter.join()
        second.stop()
    assert report.complete
    for got, expected in zip(content(path), uninterrupted, strict=True):
        np.testing.assert_array_equal(got, expected)


@dataclasses.dataclass(frozen=True)
class second_address:  # noqa: N801
    """A server's address before there is a server."""

    host: str
    port: str

    @property
    def grpc_url(self) -> str:
        return f"{self.host}:{self.port}"
