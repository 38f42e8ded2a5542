"""The Zarr store of a map: embeddings [y, x, feature], a status for every cell, and what they are.

Sharded Zarr v3. A shard is one file that is replaced as a whole (zarr writes beside it and renames), and a cell's
status is written after its embedding: whenever a run is killed, what the status calls done is there.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

import sat2sound
from sat2sound.clients.maps.conventions import group_attributes
from sat2sound.clients.maps.errors import MapInUse, NotAMap, OtherMap, StorageFailed
from sat2sound.clients.maps.footprint import Footprint
from sat2sound.clients.maps.grid import Block, Grid
from sat2sound.clients.maps.identity import ModelIdentity, check_same
from sat2sound.clients.maps.plan import Plan
from sat2sound.errors import Sat2SoundError

CHUNK = 64  # cells per side
SHARD_BYTES = 32 * 1024 * 1024
_ATTRIBUTE = "sat2sound"
_FORMAT = 1
_SCALE_FORMAT_NOTE = "embedding = value x scale"


class Status(IntEnum):
    """What became of a cell. PENDING is also what was never written."""

    PENDING = 0
    DONE = 1
    NODATA = 2
    FAILED = 3


@dataclass(frozen=True)
class MapStore:
    """An open map. group: its arrays "embedding", "status", and "scale" for int8. path: its folder."""

    path: Path
    group: zarr.Group

    @property
    def described(self) -> dict[str, Any]:
        """This project's own part of the metadata: format, plan, model, notes, failures."""
        return dict(self.group.attrs[_ATTRIBUTE])  # type: ignore[arg-type]

    @property
    def grid(self) -> Grid:
        """Where the cells lie."""
        return Grid(**self.described["plan"]["grid"])

    @property
    def model(self) -> ModelIdentity:
        """What made the embeddings."""
        return ModelIdentity.from_json(self.described["model"])

    @property
    def footprint(self) -> Footprint:
        """What one crop covers."""
        return Footprint.from_json(self.described["plan"]["footprint"])

    @property
    def shard_side(self) -> int:
        """Cells per side of what is written at once."""
        return int(self.array("embedding").shards[0])

    def array(self, name: str) -> Any:
        """One of the arrays."""
        return self.group[name]

    def has_scales(self) -> bool:
        """Whether embeddings are int8."""
        return "scale" in self.group

    def statuses(self, block: Block) -> npt.NDArray[np.uint8]:
        """uint8 [height, width]."""
        return np.asarray(self.array("status")[block.slices])

    def counts(self) -> dict[Status, int]:
        """How many cells there are of each status, read shard by shard."""
        total = np.zeros(len(Status), dtype=np.int64)
        for block in self.grid.blocks(self.shard_side):
            total += np.bincount(self.statuses(block).ravel(), minlength=len(Status))
        return {status: int(total[status]) for status in Status}

    def update(self, **values: Any) -> None:
        """Change entries of this project's metadata."""
        with storing(self.path):
            self.group.attrs[_ATTRIBUTE] = {**self.described, **values}


def shard_side(dimensions: int, item_bytes: int) -> int:
    """Cells per side of a shard of at most SHARD_BYTES: 256 for 256 x int8, 64 at least."""
    side = 4 * CHUNK
    while side > CHUNK and side * side * dimensions * item_bytes > SHARD_BYTES:
        side //= 2
    return side


def create_map(path: Path, plan: Plan, model: ModelIdentity, notes: list[str]) -> MapStore:
    """A new map with every cell pending. Raises StorageFailed, NotAMap if something else is there."""
    if path.exists() and any(path.iterdir() if path.is_dir() else [path]):
        raise NotAMap(f"{path} exists and is not a map", fix="choose another path")
    grid, stored = plan.grid, np.dtype(plan.stored)
    dimensions = model.config.embedding
    side = shard_side(dimensions, stored.itemsize)
    _check_space(path, bytes_needed(grid, dimensions * stored.itemsize, side))
    described: dict[str, Any] = {
        "format": _FORMAT,
        "plan": plan.to_json(),
        "model": model.to_json(),
        "notes": notes,
        "failures": {},
    }
    with storing(path):
        # Made beside its place and then renamed: a map is there whole or not at all.
        partial = path.with_name(f".{path.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        group = zarr.create_group(partial, zarr_format=3)
        # One chunk per shard of embeddings: small, and a reader never sees half of a change.
        cells: dict[str, Any] = {"shape": (grid.height, grid.width), "chunks": (side, side)}
        names = ("y", "x")
        group.create_array("status", dtype="uint8", fill_value=0, dimension_names=names, **cells).attrs.update(
            {
                "flag_values": [int(status) for status in Status],
                "flag_meanings": " ".join(status.name.lower() for status in Status),
                "grid_mapping": "spatial_ref",
            }
        )
        if stored == np.int8:
            group.create_array("scale", dtype="float32", fill_value=0.0, dimension_names=names, **cells).attrs.update(
                {"long_name": _SCALE_FORMAT_NOTE, "grid_mapping": "spatial_ref"}
            )
        group.create_array(
            "embedding",
            dtype=stored,
            fill_value=0,
            shape=(grid.height, grid.width, dimensions),
            chunks=(CHUNK, CHUNK, dimensions),
            shards=(side, side, dimensions),
            dimension_names=("y", "x", "feature"),
            compressors=None,  # unit embeddings hardly compress (3 %), and reading them would take twice as long
        ).attrs.update({"grid_mapping": "spatial_ref"})
        _coordinates(group, grid)
        attributes: dict[str, Any] = {**group_attributes(plan, model, sat2sound.__version__), _ATTRIBUTE: described}
        group.attrs.update(attributes)
        if path.is_dir():
            path.rmdir()
        partial.rename(path)
    return open_map_store(path, writable=True)


def _coordinates(group: zarr.Group, grid: Grid) -> None:
    from rasterio.crs import CRS

    for name, values in (("y", grid.y), ("x", grid.x)):
        array = group.create_array(name, shape=values.shape, dtype="float64", dimension_names=(name,))
        array[:] = values
        array.attrs.update({"units": "metre", "standard_name": f"projection_{name}_coordinate"})
    reference = group.create_array("spatial_ref", shape=(), dtype="int64", dimension_names=())
    transform = grid.transform
    gdal_order = (transform.c, transform.a, transform.b, transform.f, transform.d, transform.e)
    reference.attrs.update(
        {"crs_wkt": CRS.from_user_input(grid.crs).to_wkt(), "GeoTransform": " ".join(map(repr, gdal_order))}
    )


def open_map_store(path: Path, *, writable: bool = False) -> MapStore:
    """Open what `create_map` made. Raises NotAMap."""
    try:
        group = zarr.open_group(path, mode="r+" if writable else "r", zarr_format=3, use_consolidated=False)
        described: Any = group.attrs[_ATTRIBUTE]
    except (OSError, KeyError, ValueError, TypeError) as error:
        problem = "does not exist" if not path.exists() else f"is not a map ({type(error).__name__})"
        raise NotAMap(
            f"{path} {problem}", fix="give a map of `sat2sound map embed`; a new map wants a path of its own"
        ) from None
    if not isinstance(described, Mapping) or described.get("format") != _FORMAT:
        raise NotAMap(f"{path} was written by another version of this program", fix="embed the area again")
    return MapStore(path, group)


def resume_map(path: Path, plan: Plan, model: ModelIdentity) -> MapStore:
    """Open a map to go on with it. Raises OtherMap if it was begun with another plan, OtherModel, NotAMap."""
    store = open_map_store(path, writable=True)
    check_same(store.model, model, path)
    # as JSON brings it back: lists for tuples
    begun, now = store.described["plan"], json.loads(json.dumps(plan.to_json()))
    differing = [name for name in now if begun.get(name) != now[name]]
    if differing:
        said = "; ".join(f"{name} was {begun.get(name)} and is now {now[name]}" for name in differing)
        raise OtherMap(
            f"{path} was begun with other settings: {said[:600]}", fix="give the same ones, or another --out"
        )
    return store


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the map for writing; the system lets go when the process ends, however it ends. Raises MapInUse."""
    with _locked(path, fcntl.LOCK_EX, "another run is writing to it, or it is being read"):
        yield


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the map for reading, beside other readers: a shard that is replaced while it is read would be garbled."""
    with _locked(path, fcntl.LOCK_SH, "a run is writing to it"):
        yield


@contextmanager
def _locked(path: Path, kind: int, problem: str) -> Iterator[None]:
    real = path.resolve()  # one lock, by whatever link a map is reached
    if not real.name or not path.name:
        raise NotAMap(f"{path} is no name for a map", fix="give a folder of its own, e.g. area.zarr")
    with storing(path):
        handle = _open_lock(real.with_name(f".{real.name}.lock"), may_only_read=kind == fcntl.LOCK_SH)
    if handle is None:
        yield
        return
    try:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MapInUse(f"{path} is in use: {problem}", fix="wait for that to end, or choose another path") from None
        yield
    finally:
        os.close(handle)


def _open_lock(lock: Path, *, may_only_read: bool) -> int | None:
    """A handle of the lock's file; None where a reader may not make one: a copied map, which no run writes to here."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if not may_only_read or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(lock, os.O_RDONLY) if lock.exists() else None


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into StorageFailed."""
    try:
        with warnings.catch_warnings():
            # zarr warns of the sharding codec's variable length at every creation; nothing to act on.
            warnings.simplefilter("ignore", category=UserWarning)
            yield
    except Sat2SoundError:
        raise
    except OSError as error:
        raise StorageFailed(
            f"{path} could not be written: {error.strerror or error}",
            fix="free space or choose another place, then run the same command again: what is done is kept",
        ) from error


def bytes_needed(grid: Grid, cell_bytes: int, side: int) -> int:
    """Bytes of a map when every cell is embedded: whole chunks, and a shard's new version beside its old one."""
    height, width = (-(-cells // CHUNK) * CHUNK for cells in (grid.height, grid.width))
    shard = min(side, height) * min(side, width)
    return (height * width + shard) * (cell_bytes + 5)


def _check_space(path: Path, needed: int) -> None:
    """Refuse a map that cannot fit. needed: bytes when every cell is embedded."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageFailed(
            f"the map needs up to {needed / 1e9:,.1f} GB and {folder} has {free / 1e9:,.1f} GB free",
            fix="free space, choose a greater --spacing, or --dtype int8",
        )
