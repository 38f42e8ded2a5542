"""Parquet shards, here or on the hub, as what a training draws from: read as needed, nothing is kept on disk."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sat2sound.data.passes import PassShape
from sat2sound.data.rows import RowReader
from sat2sound.data.samples import Sample
from sat2sound.data.stream_order import WINDOW, StreamOrder, stream_order
from sat2sound.data.streams import arrow_sample, readable

FOOTERS_AT_A_TIME, GROUPS_AT_A_TIME = 16, 4


@dataclass(frozen=True)
class Footers:
    """What the shards say about themselves. groups: (shard, row group within it) by number; sizes: rows of each."""

    shards: tuple[str, ...]
    metadata: tuple[Any, ...]
    groups: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self.metadata[0].schema.to_arrow_schema().names)


def open_shard(shard: str) -> Any:
    """A file here or elsewhere. No cache of fsspec's: it reads ahead into columns that nobody asked for."""
    files, path = fsspec.core.url_to_fs(shard)
    return files.open(path, cache_type="none")


def read_footers(shards: tuple[str, ...]) -> Footers:
    """The end of each shard. shards: paths or addresses that fsspec opens. Raises OSError, ArrowException."""

    def read(shard: str) -> Any:
        with open_shard(shard) as file:
            return pq.ParquetFile(file).metadata

    with ThreadPoolExecutor(FOOTERS_AT_A_TIME) as pool:
        metadata = tuple(pool.map(read, shards))
    groups = tuple((shard, group) for shard, of in enumerate(metadata) for group in range(of.num_row_groups))
    return Footers(shards, metadata, groups, tuple(metadata[at].row_group(group).num_rows for at, group in groups))


@dataclass
class _Held:
    """Row groups in memory or on their way. process: a forked one has none of the threads, and reads for itself."""

    process: int = field(default_factory=os.getpid)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(GROUPS_AT_A_TIME))
    groups: dict[int, Future[pa.Table]] = field(default_factory=dict)


class ShardSource:
    """window: samples among which the order is random; a process (or worker) holds two windows in memory.

    workers: of a data loader, in each process. name: for messages. Reading raises DatasetError if a shard is damaged or
    the network fails.
    """

    def __init__(self, footers: Footers, reader: RowReader, name: str, window: int = WINDOW, workers: int = 1) -> None:
        self.footers, self.reader, self.name, self.window, self.workers = footers, reader, name, window, workers
        self._held = _Held()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_held"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _held=_Held())

    def __len__(self) -> int:
        return sum(self.footers.sizes)

    def one_pass(self, seed: int, epoch: int, shape: PassShape) -> ShardPass:
        """See `PassSource`. It depends on the number of processes and workers, too: each reads rows of its own."""
        random = np.random.default_rng([seed, 1, epoch])
        sizes = np.array(self.footers.sizes, np.int64)
        return ShardPass(self, stream_order(sizes, shape, self.window, self.workers, random))

    def hold(self, groups: tuple[int, ...], following: tuple[int, ...]) -> None:
        """Have these row groups read, the first ones first, and let go of all others."""
        if self._held.process != os.getpid():
            self._held = _Held()
        held = self._held.groups
        for group in held.keys() - {*groups, *following}:
            held.pop(group).cancel()
        for group in (*groups, *following):
            if group not in held:
                held[group] = self._held.pool.submit(self._read, group)

    def sample(self, group: int, within: int, row: int) -> Sample:
        """A row of a row group that is held. row: its number, for messages."""
        with readable(self.name):
            table = self._held.groups[group].result()
        return arrow_sample(table.slice(within, 1), self.reader, row)

    def _read(self, group: int) -> pa.Table:
        shard, number = self.footers.groups[group]
        with open_shard(self.footers.shards[shard]) as file:
            opened = pq.ParquetFile(file, metadata=self.footers.metadata[shard], pre_buffer=True)
            return opened.read_row_group(number, columns=self.reader.columns.needed(), use_threads=False)


@dataclass(frozen=True)
class ShardPass:
    """A pass over shards."""

    source: ShardSource
    order: StreamOrder

    def sample(self, place: int, attempt: int = 0) -> Sample:
        """See `Pass`."""
        self.source.hold(*self.order.groups(place))
        row = self.order.row(place, attempt)
        group = self.order.group_of(row)
        return self.source.sample(group, row - int(self.order.starts[group]), row)
