"""The images to caption: a folder of images or of Parquet shards, a CSV or Parquet file with an image column."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sat2sound.data.samples import Encoded
from sat2sound.errors import DatasetError
from sat2sound.preprocessing.image_files import SUFFIXES

ID_COLUMNS = ("sample_id", "id")
_ROWS_PER_READ = 64


@dataclass(frozen=True)
class Row:
    """id: unique in the dataset. image: encoded, or where it lies; None where the dataset has none for it."""

    id: str
    image: Encoded | None


def read_rows(source: Path, image_column: str = "image", id_column: str | None = None) -> Iterator[Row]:
    """Rows in a fixed order, read as they are asked for.

    image_column: of CSV a path beside the file; of Parquet such a path, bytes, or a struct of bytes and path.
    id_column: default sample_id, else id, else (CSV) the image's path; of a folder of images, the path within it.
    Raises DatasetError: nothing there, no such column, an id that is missing or occurs twice, a damaged file.
    """
    seen: set[str] = set()
    for row in _rows(source, image_column, id_column):
        if not row.id or row.id in seen:
            raise DatasetError(f"{source}: the id {row.id!r} is empty or occurs twice", fix="give each row its own id")
        seen.add(row.id)
        yield row
    if not seen:
        raise DatasetError(f"{source} holds no images", fix="give a folder of images, a CSV or a Parquet file")


def _rows(source: Path, image_column: str, id_column: str | None) -> Iterator[Row]:
    if source.is_dir():
        shards = sorted(source.glob("*.parquet"))
        for shard in shards:
            yield from _parquet(shard, image_column, id_column)
        if not shards:
            for path in sorted(source.rglob("*")):
                if path.suffix.lower() in SUFFIXES:
                    yield Row(path.relative_to(source).as_posix(), path)
    elif source.suffix.lower() == ".csv":
        yield from _csv(source, image_column, id_column)
    elif source.suffix.lower() == ".parquet":
        yield from _parquet(source, image_column, id_column)
    else:
        raise DatasetError(f"{source} is no folder, .csv or .parquet file", fix="check the path")


def _csv(path: Path, image_column: str, id_column: str | None) -> Iterator[Row]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            chosen = _id_column(path, names, image_column, id_column) or image_column
            for values in reader:
                image = values[image_column]
                yield Row(values[chosen] or "", path.parent / image if image else None)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read: {error}", fix="check that it is a UTF-8 CSV file") from error


def _parquet(path: Path, image_column: str, id_column: str | None) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            chosen = _id_column(path, file.schema_arrow.names, image_column, id_column)
            if chosen is None:
                raise DatasetError(f"{path} has no column {' or '.join(ID_COLUMNS)}", fix="name one with --id-column")
            for batch in file.iter_batches(_ROWS_PER_READ, columns=[chosen, image_column]):
                for values in batch.to_pylist():
                    own = values[chosen]
                    yield Row("" if own is None else str(own), _image(values[image_column], path.parent))
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path} is not a readable Parquet file: {error}", fix="check the file") from error


def _image(value: Any, folder: Path) -> Encoded | None:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value or None
    return folder / value if isinstance(value, str) and value else None


def _id_column(path: Path, names: Any, image_column: str, id_column: str | None) -> str | None:
    for needed in (image_column, id_column):
        if needed is not None and needed not in names:
            raise DatasetError(
                f"{path} has no column {needed!r}; it has {', '.join(names)}", fix="name one that it has"
            )
    return id_column or next((name for name in ID_COLUMNS if name in names), None)
