"""Published datasets through the `datasets` library: Parquet shards here or on the hub, and what it saved to disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import httpx
import numpy as np
import pyarrow as pa
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError

from sat2sound.data.choice import Choice
from sat2sound.data.columns import Columns, find_columns
from sat2sound.data.rows import RowReader
from sat2sound.data.samples import Sample
from sat2sound.data.shard_folder import is_saved_folder, saved_splits
from sat2sound.data.splits import choose_split
from sat2sound.errors import DatasetError

HUB = "hf://datasets/"
_OWNER_AND_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@\S+)?")


class ArrowSamples:
    """A split in any order (map-style), from memory-mapped files of the `datasets` library."""

    def __init__(self, rows: datasets.Dataset, reader: RowReader) -> None:
        self._rows, self._reader = rows.with_format("arrow"), reader

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return arrow_sample(self._rows[index], self._reader, index % len(self))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


class SampleStream:
    """A split in the order of its shards, one shard after the other; nothing is kept on disk.

    Raises DatasetError while it is read, if a shard is damaged or the network fails.
    """

    def __init__(self, rows: datasets.IterableDataset, reader: RowReader, name: str) -> None:
        self._rows, self._reader, self._name = rows.with_format("arrow"), reader, name

    def __iter__(self) -> Iterator[Sample]:
        with readable(self._name):
            for index, row in enumerate(self._rows):
                yield arrow_sample(row, self._reader, index)


def hub_name(data: str) -> str | None:
    """hf://datasets/OWNER/NAME[@REVISION] for a dataset of the hub, named so or as OWNER/NAME; None for a path here."""
    named = data.removeprefix(HUB)
    if _OWNER_AND_NAME.fullmatch(named) and (data.startswith(HUB) or not Path(data).exists()):
        return HUB + named
    return None


def split_names(data: str) -> list[str]:
    """The splits of a shard folder or a dataset of the hub. Raises DatasetError."""
    with readable(data):
        if is_saved_folder(Path(data)):
            return saved_splits(Path(data))
        return list(_load(data, None, streaming=True))


def open_shard_stream(data: str, split: str, choice: Choice) -> SampleStream:
    """One split as a stream. Raises DatasetError."""
    with readable(data):
        if is_saved_folder(Path(data)):
            rows, reader = _saved(data, split, choice)
            return SampleStream(rows.to_iterable_dataset(num_shards=max(1, min(64, len(rows)))), reader, data)
        found = _load(data, None, streaming=True)
        own = choose_split(split, found, data)
        reader = row_reader(data, found[own].features, choice)
        return SampleStream(_load(data, own, streaming=True, columns=reader.columns.needed()), reader, data)


def open_shard_table(data: str, split: str, choice: Choice) -> ArrowSamples:
    """One split as a table. Parquet becomes Arrow files in the cache of `datasets` first. Raises DatasetError."""
    with readable(data):
        if is_saved_folder(Path(data)):
            return ArrowSamples(*_saved(data, split, choice))
        found = _load(data, None, streaming=True)
        own = choose_split(split, found, data)
        reader = row_reader(data, found[own].features, choice)
        return ArrowSamples(_load(data, own, streaming=False, columns=reader.columns.needed()), reader)


def shard_files(data: str, split: str) -> tuple[str, ...]:
    """Paths or addresses of a split's Parquet shards, in their order. Raises DatasetError."""
    with readable(data):
        name, revision = _name_and_revision(data)
        found = datasets.load_dataset_builder(name, revision=revision).config.data_files or {}
        files = tuple(map(str, found[choose_split(split, found, data)]))
    if strange := [file for file in files if not file.endswith(".parquet")]:
        raise DatasetError(f"{data} has shards that are not Parquet: {strange[0]}", fix="convert them to Parquet")
    return files


def _load(data: str, split: str | None, **options: Any) -> Any:
    name, revision = _name_and_revision(data)
    return datasets.load_dataset(name, split=split, revision=revision, **options)


def _name_and_revision(data: str) -> tuple[str, str | None]:
    known = hub_name(data)
    if known is None:
        return data, None
    name, _, revision = known.removeprefix(HUB).partition("@")
    return name, revision or None


def stream_columns(
    data: str, split: str | None, choose: Callable[[list[str]], tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Names and values of some columns, row by row, of one split or of all of them, one after the other.

    choose: from all names of the columns. Images and recordings are not decoded. Raises DatasetError.
    """
    with readable(data):
        if is_saved_folder(Path(data)):
            for own in _chosen(split, split_names(data), data):
                saved = datasets.load_from_disk(str(Path(data) / own))
                columns = choose(list(saved.features))
                yield from ((columns, row) for row in _plain(saved.select_columns(columns)))
            return
        found = _load(data, None, streaming=True)
        for own in _chosen(split, found, data):
            columns = choose(list(found[own].features))
            yield from ((columns, row) for row in _plain(_load(data, own, streaming=True, columns=list(columns))))


def _chosen(split: str | None, found: Iterable[str], data: str) -> list[str]:
    return list(found) if split is None else [choose_split(split, found, data)]


def _plain(rows: Any) -> Iterator[dict[str, Any]]:
    return (row.to_pylist()[0] for row in rows.with_format("arrow"))


def _saved(data: str, split: str, choice: Choice) -> tuple[datasets.Dataset, RowReader]:
    own = choose_split(split, split_names(data), data)
    rows = datasets.load_from_disk(str(Path(data) / own))
    reader = row_reader(data, rows.features, choice)
    return rows.select_columns(reader.columns.needed()), reader


def row_reader(data: str, names: Iterable[str], choice: Choice) -> RowReader:
    """Reads rows with these columns. Raises DatasetError, also if there are no ids."""
    columns = find_columns(names, choice, data)
    if "id" not in columns.by_field:
        raise DatasetError(f"{data} has no column sample_id or id", fix="give each row an id of its own")
    return RowReader.of(columns, choice, Path() if hub_name(data) else Path(data))


def arrow_sample(row: pa.Table, reader: RowReader, index: int) -> Sample:
    """The sample of a table of one row. index: its number, for messages."""
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
def readable(data: str) -> Iterator[None]:
    """Errors of the library, the file system and the network as DatasetError."""
    absent = "" if data.startswith(HUB) or Path(data).exists() else f"there is no {data} here; "
    try:
        yield
    except (DatasetsError, OSError, ValueError, pa.ArrowException, httpx.HTTPError, HfHubHTTPError) as error:
        cause = error.__cause__ or error
        raise DatasetError(
            f"{data} cannot be read: {type(cause).__name__}: {' '.join(str(cause).split())[:300]}",
            fix=f"{absent}check the path or the hub's name, the network, and that the shards are whole",
        ) from error
