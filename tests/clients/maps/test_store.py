"""The store on disk: what is refused, what is said, what a reader finds."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from made_maps import UTM, cell_colours, coloured_cells, raster_plan, write_raster

from sat2sound.clients.maps.errors import MapInUse, NotAMap, OtherMap, OtherModel, StorageFailed
from sat2sound.clients.maps.grid import Block, Grid
from sat2sound.clients.maps.identity import ModelIdentity
from sat2sound.clients.maps.plan import Plan
from sat2sound.clients.maps.quantisation import StoredType
from sat2sound.clients.maps.store import Status, create_map, exclusive, open_map_store, resume_map, shard_side, shared
from sat2sound.clients.maps.worker import BlockResult
from sat2sound.clients.maps.writer import Writer
from sat2sound.configs import load_config

CONFIG = load_config("starter")


def identity(name: str = "starter", seed: int = 1) -> ModelIdentity:
    probe = np.random.default_rng(seed).standard_normal(CONFIG.embedding)
    return ModelIdentity(dataclasses.replace(CONFIG, name=name), tuple(map(float, probe / np.linalg.norm(probe))))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return raster_plan(write_raster(tmp_path / "a.tif", coloured_cells(cell_colours(2, 3))), month=7, spacing=40.0)


def test_what_a_reader_finds(plan: Plan, tmp_path: Path) -> None:
    store = create_map(tmp_path / "a.zarr", plan, identity(), ["a note"])
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    assert sorted(group.array_keys()) == ["embedding", "scale", "spatial_ref", "status", "x", "y"]
    embedding = store.array("embedding")
    assert embedding.shape == (4, 6, 256)
    assert embedding.dtype == np.int8
    assert embedding.chunks == (64, 64, 256)
    assert embedding.shards == (256, 256, 256)
    assert embedding.metadata.dimension_names == ("y", "x", "feature")
    attributes: dict[str, Any] = dict(group.attrs)
    assert attributes["proj:code"] == UTM
    assert attributes["spatial:transform"] == list(plan.grid.transform)[:6]
    assert attributes["geoemb:dimensions"] == 256
    assert attributes["geoemb:quantization"]["scale"]["array_name"] == "scale"
    assert "WGS 84 / UTM zone 33N" in dict(group["spatial_ref"].attrs)["crs_wkt"]  # type: ignore[operator]
    assert store.grid == plan.grid
    assert store.footprint == plan.footprint
    assert store.model == identity()
    assert store.described["notes"] == ["a note"]
    assert store.counts() == {Status.PENDING: 24, Status.DONE: 0, Status.NODATA: 0, Status.FAILED: 0}
    assert not list(tmp_path.glob(".a.zarr.partial*"))


@pytest.mark.parametrize(
    ("dimensions", "stored", "side"),
    [(256, "int8", 256), (256, "float16", 256), (256, "float32", 128), (1024, "int8", 128), (1024, "float32", 64)],
)
def test_shards_are_bounded(dimensions: int, stored: StoredType, side: int) -> None:
    assert shard_side(dimensions, np.dtype(stored).itemsize) == side


def test_going_on_wants_the_same_plan_and_model(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    create_map(path, plan, identity(), [])
    assert resume_map(path, plan, identity()).grid == plan.grid
    with pytest.raises(OtherMap, match=r"month was 7 and is now 8.*another --out"):
        resume_map(path, dataclasses.replace(plan, month=8), identity())
    with pytest.raises(OtherModel, match=r"made by the model 'starter', and the server serves 'bingmap-withmeta'"):
        resume_map(path, plan, identity("bingmap-withmeta"))
    with pytest.raises(OtherModel, match=r"'starter' with other weights than the 'starter'"):
        resume_map(path, plan, identity(seed=2))


def test_a_new_map_wants_an_empty_place(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    for path in (tmp_path / "taken", tmp_path / "taken" / "notes.txt"):
        with pytest.raises(NotAMap, match="exists and is not a map"):
            create_map(path, plan, identity(), [])
    assert (tmp_path / "taken" / "notes.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert create_map(tmp_path / "empty", plan, identity(), []).grid == plan.grid


def test_things_that_are_no_map(tmp_path: Path) -> None:
    with pytest.raises(NotAMap, match=r"does not exist.*map embed"):
        open_map_store(tmp_path / "absent.zarr")
    with pytest.raises(NotAMap, match="is not a map"):
        open_map_store(tmp_path)
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(NotAMap, match="is not a map"):
        open_map_store(tmp_path / "other.zarr")
    zarr.open_group(tmp_path / "other.zarr").attrs["sat2sound"] = {"format": 99}
    with pytest.raises(NotAMap, match="another version"):
        open_map_store(tmp_path / "other.zarr")


def test_a_map_that_cannot_fit(plan: Plan, tmp_path: Path) -> None:
    huge = dataclasses.replace(plan, grid=Grid(UTM, 0, 0, 1.0, 10**6, 10**6))
    with pytest.raises(StorageFailed, match=r"needs up to 261,000\.0 GB.*--spacing"):
        create_map(tmp_path / "a.zarr", huge, identity(), [])
    assert not (tmp_path / "a.zarr").exists()


def _hold(path: Path, held: Event) -> None:
    with exclusive(path):
        held.set()
        time.sleep(120)


@pytest.fixture
def other_run(tmp_path: Path) -> Iterator[multiprocessing.process.BaseProcess]:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "a.zarr", held))
    process.start()
    assert held.wait(60)
    yield process
    process.kill()
    process.join()


def test_one_run_at_a_time_and_a_dead_one_lets_go(
    other_run: multiprocessing.process.BaseProcess, tmp_path: Path
) -> None:
    with pytest.raises(MapInUse, match=r"is in use: another run is writing"), exclusive(tmp_path / "a.zarr"):
        pass
    with pytest.raises(MapInUse, match="a run is writing to it"), shared(tmp_path / "a.zarr"):
        pass
    other_run.kill()
    other_run.join()
    with exclusive(tmp_path / "a.zarr"):
        pass


def test_many_may_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    with shared(path), shared(path), pytest.raises(MapInUse, match="being read"), exclusive(path):
        pass


def test_the_writer_keeps_what_was_there(plan: Plan, tmp_path: Path) -> None:
    store = create_map(tmp_path / "a.zarr", plan, identity(), [])
    random = np.random.default_rng(0)
    expected = np.zeros((4, 6, 256), np.int8)
    for row in range(0, 4, 2):
        cells = np.array([[True, False, True], [True, True, True]])
        values = random.integers(-127, 128, (5, 256), dtype=np.int8)
        status = np.where(cells, np.uint8(Status.DONE), np.uint8(Status.NODATA))
        writer = Writer(store, flush_seconds=3600)
        block = Block(row, 2, 2, 3)
        writer.add(BlockResult(block, status, cells, values, np.full(5, row + 1, np.float32), {"why": 1}))
        assert store.counts()[Status.DONE] == 5 * (row // 2)  # not before it is flushed
        writer.flush()
        expected[block.slices][cells] = values
    np.testing.assert_array_equal(store.array("embedding")[:], expected)
    assert store.counts() == {Status.PENDING: 12, Status.DONE: 10, Status.NODATA: 2, Status.FAILED: 0}
    assert store.described["failures"] == {"why": 2}
    assert store.array("scale")[2, 2] == 3.0


def _write_within(limit: int, path: Path, plan: Plan, said: Path) -> None:
    store = create_map(path, plan, identity(), [])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer = Writer(store, flush_seconds=3600)
    every = np.ones((4, 6), dtype=bool)
    values = np.random.default_rng(0).integers(-127, 128, (24, 256), dtype=np.int8)
    status = np.full((4, 6), Status.DONE, np.uint8)
    writer.add(BlockResult(Block(0, 0, 4, 6), status, every, values, np.ones(24, np.float32)))
    try:
        writer.flush()
    except StorageFailed as error:
        said.write_text(json.dumps(str(error)))


def test_no_more_room(plan: Plan, tmp_path: Path) -> None:
    """The operating system refuses to write on (here by a limit on file sizes, as a full disk does)."""
    context = multiprocessing.get_context("spawn")
    said, path = tmp_path / "said", tmp_path / "a.zarr"
    process = context.Process(target=_write_within, args=(4096, path, plan, said))
    process.start()
    process.join(120)
    assert "could not be written" in said.read_text()
    assert "run the same command again" in said.read_text()
    # Nothing is called done that is not there, and the map can be gone on with.
    assert resume_map(path, plan, identity()).counts()[Status.PENDING] == 24


def test_a_map_has_one_lock_by_whatever_link_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "a.zarr")
    with exclusive(tmp_path / "a.zarr"), pytest.raises(MapInUse), exclusive(tmp_path / "link.zarr"):
        pass


@pytest.mark.parametrize("name", [".", "/"])
def test_paths_without_a_name(name: str) -> None:
    with pytest.raises(NotAMap, match="is no name for a map"), exclusive(Path(name)):
        pass


@pytest.mark.parametrize("locked_before", [False, True])
def test_a_map_of_somebody_else_can_be_read(locked_before: bool) -> None:
    """In a folder where this user may not write, with the lock of the owner's run or without."""
    with tempfile.TemporaryDirectory() as folder:  # all folders above it are open to everyone, unlike pytest's
        path = Path(folder) / "a.zarr"
        path.mkdir()
        if locked_before:
            with exclusive(path):
                pass
            (path.with_name(".a.zarr.lock")).chmod(0o644)
        Path(folder).chmod(0o555)
        user = os.geteuid()
        if user == 0:  # may write everywhere
            os.seteuid(65534)
        try:
            with pytest.raises(StorageFailed, match="Permission denied"), exclusive(path):
                pass
            with shared(path), shared(path):
                pass
        finally:
            os.seteuid(user)
            Path(folder).chmod(0o755)
