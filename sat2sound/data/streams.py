"""Published datasets through the `datasets` library: Parquet shards here or on the hub, and what it saved to disk."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import httpx
import numpy as np
import pyarrow as pa
from datasets.distributed import split_dataset_by_node
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError

from sat2sound.data.choice import Choice
from sat2sound.data.columns import Columns, find_columns
from sat2sound.data.rows import RowReader
from sat2sound.data.samples import Sample
from sat2sound.data.splits import choose_split
from sat2sound.errors import DatasetError

HUB = "hf://datasets/"
_SAVED = "state.json"  # in every folder that `save_to_disk` wrote a split to


class ArrowSamples:
    """A split in any order (map-style), from memory-mapped files of the `datasets` library."""

    def __init__(self, rows: datasets.Dataset, reader: RowReader) -> None:
        self._rows, self._reader = rows.with_format("arrow"), reader

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return _sample(self._rows[index], self._reader, index % len(self))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


class SampleStream:
    """A split in the order of its shards, one shard after the other; nothing is kept on disk.

    In a worker of a torch data loader it gives that worker's shards only. Raises DatasetError while it is read, if a
    shard is damaged or the network fails.
    """

    def __init__(self, rows: datasets.IterableDataset, reader: RowReader, name: str) -> None:
        self._rows, self._reader, self._name, self._start = rows.with_format("arrow"), reader, name, 0

    def __iter__(self) -> Iterator[Sample]:
        with _readable(self._name):
            for index, row in enumerate(itertools.islice(self._rows, self._start, None), self._start):
                yield _sample(row, self._reader, index)

    @property
    def shards(self) -> int:
        """How many files: more workers or ranks than that have nothing to do."""
        return int(self._rows.num_shards)

    def shuffled(self, seed: int, buffer: int) -> SampleStream:
        """Shards in random order, rows drawn from a buffer of so many; another order in each epoch (`set_epoch`)."""
        return self._with(self._rows.shuffle(seed=seed, buffer_size=buffer))

    def of_rank(self, rank: int, world: int) -> SampleStream:
        """The share of one of `world` processes: whole shards if they divide evenly, else every world-th row."""
        return self._with(split_dataset_by_node(self._rows, rank=rank, world_size=world))

    def starting_at(self, count: int) -> SampleStream:
        """Without the first `count` samples of this process or worker, for resuming exactly: read, but not decoded."""
        other = copy.copy(self)
        other._start = count
        return other

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self._rows.set_epoch(epoch)

    def _with(self, rows: datasets.IterableDataset) -> SampleStream:
        other = copy.copy(self)
        other._rows = rows
        return other


def is_hub_name(data: str) -> bool:
    """Whether it names a dataset of the hub: hf://datasets/OWNER/NAME, with @REVISION at will."""
    return data.startswith(HUB)


def is_shard_folder(folder: Path) -> bool:
    """Whether a folder holds Parquet shards (in it or one level below), or what `save_to_disk` wrote."""
    return is_saved_folder(folder) or any(
        True for pattern in ("*.parquet", "*/*.parquet") for _ in folder.glob(pattern)
    )


def is_saved_folder(folder: Path) -> bool:
    """Whether `save_to_disk` wrote it: one split per folder below it."""
    return any(folder.glob(f"*/{_SAVED}"))


def split_names(data: str) -> list[str]:
    """The splits of a shard folder or a dataset of the hub. Raises DatasetError."""
    with _readable(data):
        if is_saved_folder(Path(data)):
            return sorted(path.parent.name for path in Path(data).glob(f"*/{_SAVED}"))
        return list(_load(data, None, streaming=True))


def open_shard_stream(data: str, split: str, choice: Choice) -> SampleStream:
    """One split as a stream. Raises DatasetError."""
    with _readable(data):
        if is_saved_folder(Path(data)):
            rows, reader = _saved(data, split, choice)
            return SampleStream(rows.to_iterable_dataset(num_shards=max(1, min(64, len(rows)))), reader, data)
        found = _load(data, None, streaming=True)
        own = choose_split(split, found, data)
        reader = _reader(data, found[own].features, choice)
        return SampleStream(_load(data, own, streaming=True, columns=reader.columns.needed()), reader, data)


def open_shard_table(data: str, split: str, choice: Choice) -> ArrowSamples:
    """One split as a table. Parquet becomes Arrow files in the cache of `datasets` first. Raises DatasetError."""
    with _readable(data):
        if is_saved_folder(Path(data)):
            return ArrowSamples(*_saved(data, split, choice))
        found = _load(data, None, streaming=True)
        own = choose_split(split, found, data)
        reader = _reader(data, found[own].features, choice)
        return ArrowSamples(_load(data, own, streaming=False, columns=reader.columns.needed()), reader)


def _load(data: str, split: str | None, **options: Any) -> Any:
    name, _, revision = data.removeprefix(HUB).partition("@") if is_hub_name(data) else (data, "", "")
    return datasets.load_dataset(name, split=split, revision=revision or None, **options)


def _saved(data: str, split: str, choice: Choice) -> tuple[datasets.Dataset, RowReader]:
    own = choose_split(split, split_names(data), data)
    rows = datasets.load_from_disk(str(Path(data) / own))
    reader = _reader(data, rows.features, choice)
    return rows.select_columns(reader.columns.needed()), reader


def _reader(data: str, names: Iterable[str], choice: Choice) -> RowReader:
    columns = find_columns(names, choice, data)
    if "id" not in columns.by_field:
        raise DatasetError(f"{data} has no column sample_id or id", fix="give each row an id of its own")
    return RowReader(columns, choice, Path() if is_hub_name(data) else Path(data))


def _sample(row: pa.Table, reader: RowReader, index: int) -> Sample:
    values = _values(row, reader.columns)
    own = values.get(reader.columns.by_field["id"])
    where = f"row {index}"
    return reader.sample(values, where if own is None else str(own), where)


def _values(row: pa.Table, columns: Columns) -> Mapping[str, Any]:
    """Column -> value; spectrograms as arrays: as lists of lists they would take a hundred times as long."""
    log_mels = columns.by_field.get("log_mels")
    return {
        name: _array(row.column(name)) if name == log_mels else row.column(name)[0].as_py() for name in row.column_names
    }


def _array(column: pa.ChunkedArray) -> np.ndarray[Any, Any] | None:
    """One row of nested lists of numbers as an array; of uneven lengths, as an empty one."""
    cell = column.chunk(0)[:1]
    values = cell.storage if isinstance(cell, pa.ExtensionArray) else cell
    if values.null_count:
        return None
    shape = []
    while (
        pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type)
    ):
        inner = values.flatten()
        if len(values) == 0 or len(inner) % len(values):
            return np.empty(0, np.float32)
        shape.append(len(inner) // len(values))
        values = inner
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float32).reshape(shape)


@contextmanager
def _readable(data: str) -> Iterator[None]:
    """Errors of the library, the file system and the network as DatasetError."""
    try:
        yield
    except (DatasetsError, OSError, ValueError, pa.ArrowException, httpx.HTTPError, HfHubHTTPError) as error:
        cause = error.__cause__ or error
        raise DatasetError(
            f"{data} cannot be read: {type(cause).__name__}: {' '.join(str(cause).split())[:300]}",
            fix="check the path or the name, the network, and that the shards are whole",
        ) from error
