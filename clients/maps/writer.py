"""Collects the workers' results and writes them shard by shard, embeddings before statuses."""

from __future__ import annotations

import time
from collections import defaultdict

import numpy as np

from sat2sound.clients.maps.grid import Block
from sat2sound.clients.maps.store import MapStore, Status, storing
from sat2sound.clients.maps.worker import BlockResult

FLUSH_BYTES = 64 * 1024 * 1024


class Writer:
    """The only one that writes to a map. Results are kept back for a while, since a shard is rewritten as a whole."""

    def __init__(self, store: MapStore, flush_seconds: float) -> None:
        self._store = store
        self._flush_seconds = flush_seconds
        self._side = store.shard_side
        self._waiting: dict[Block, list[BlockResult]] = defaultdict(list)
        self._bytes = 0
        self._flushed = time.monotonic()
        self.failures: dict[str, int] = dict(store.described["failures"])

    def add(self, result: BlockResult) -> None:
        """Take a result; write what has waited long enough. Raises StorageFailed."""
        block = result.block
        row, column = (start // self._side * self._side for start in (block.row, block.column))
        grid = self._store.grid
        shard = Block(row, column, min(self._side, grid.height - row), min(self._side, grid.width - column))
        self._waiting[shard].append(result)
        self._bytes += 0 if result.values is None else result.values.nbytes
        for reason, count in result.reasons.items():
            self.failures[reason] = self.failures.get(reason, 0) + count
        if self._bytes > FLUSH_BYTES or time.monotonic() - self._flushed > self._flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write everything that waits. Raises StorageFailed."""
        with storing(self._store.path):
            while self._waiting:
                shard, results = next(iter(self._waiting.items()))
                self._write(shard, results)
                del self._waiting[shard]
        if self.failures != self._store.described["failures"]:
            self._store.update(failures=self.failures)
        self._bytes, self._flushed = 0, time.monotonic()

    def _write(self, shard: Block, results: list[BlockResult]) -> None:
        status = self._store.statuses(shard)
        names = ["embedding", "scale"] if self._store.has_scales() else ["embedding"]
        if any(result.values is not None for result in results):
            arrays = {name: np.asarray(self._store.array(name)[shard.slices]) for name in names}
            for result in results:
                if result.values is not None:
                    place = _within(shard, result.block)
                    arrays["embedding"][place][result.cells] = result.values
                    if result.scales is not None:
                        arrays["scale"][place][result.cells] = result.scales
            for name, array in arrays.items():
                self._store.array(name)[shard.slices] = array
        for result in results:
            part = status[_within(shard, result.block)]
            np.copyto(part, result.status, where=result.status != Status.PENDING)
        self._store.array("status")[shard.slices] = status


def _within(shard: Block, block: Block) -> tuple[slice, slice]:
    row, column = block.row - shard.row, block.column - shard.column
    return slice(row, row + block.height), slice(column, column + block.width)
