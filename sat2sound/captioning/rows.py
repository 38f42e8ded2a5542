"""The images to caption: a folder of images, a CSV or Parquet file with an image column, or a dataset's shards."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sat2sound.data.columns import IMAGERY, NAMES, PLAIN_IMAGE
from sat2sound.data.opening import is_shards
from sat2sound.data.samples import Encoded
from sat2sound.data.splits import canonical_split
from sat2sound.data.table_file import find_table
from sat2sound.errors import DatasetError
from sat2sound.preprocessing.image_files import SUFFIXES

_ROWS_PER_READ = 64


@dataclass(frozen=True)
class Row:
    """id: unique in the dataset. image: encoded, or where it lies; None where the dataset has none for it."""

    id: str
    image: Encoded | None


@dataclass(frozen=True)
class Wanted:
    """image_column: of CSV a path beside the file; of Parquet such a path, bytes, or a struct of bytes and path;
    default `image`, else the one of the satellite type. id_column: default sample_id, else id, else (CSV) the image's
    path; of a folder of images, the path within it. split: of a dataset; default all of them.
    """

    image_column: str | None = None
    id_column: str | None = None
    split: str | None = None
    satellite: str | None = None

    def columns(self, names: Sequence[str], source: object) -> tuple[str | None, str]:
        """Of the ids (None if there is none) and of the images. Raises DatasetError."""
        for needed in (self.image_column, self.id_column):
            if needed is not None and needed not in names:
                raise DatasetError(
                    f"{source} has no column {needed!r}; it has {', '.join(names)}", fix="name one that it has"
                )
        own = {name.lower(): name for name in names}
        accepted = (PLAIN_IMAGE, *IMAGERY.get(self.satellite or "", ()))
        image = self.image_column or next((own[name] for name in accepted if name in own), None)
        if image is None:
            raise DatasetError(
                f"{source} has no column {' or '.join(map(repr, accepted))}; it has {', '.join(names)}",
                fix="name the images' column with --image-column, or their type with --satellite",
            )
        return self.id_column or next((own[name] for name in NAMES["id"] if name in own), None), image


def read_rows(source: Path | str, wanted: Wanted | None = None) -> Iterator[Row]:
    """Rows in a fixed order, read as they are asked for; of a dataset of the hub, only the images travel.

    source: a folder or file, or a dataset of the hub as OWNER/NAME. Raises DatasetError: nothing there, no such column
    or split, an id that is missing or occurs twice, a damaged file.
    """
    seen: set[str] = set()
    for row in _rows(source, wanted or Wanted()):
        if not row.id or row.id in seen:
            raise DatasetError(f"{source}: the id {row.id!r} is empty or occurs twice", fix="give each row its own id")
        seen.add(row.id)
        yield row
    if not seen:
        raise DatasetError(f"{source} holds no images", fix="give a folder of images, a CSV or a Parquet file")


def _rows(source: Path | str, wanted: Wanted) -> Iterator[Row]:
    path = Path(source)
    if path.is_file() and path.suffix.lower() == ".parquet":
        _refuse_split(path, wanted)
        yield from _parquet(path, wanted)
    elif table := find_table(path):
        yield from _csv(table, wanted)
    elif path.is_dir() and wanted.split is None and (shards := sorted(path.glob("*.parquet"))):
        for shard in shards:
            yield from _parquet(shard, wanted)
    elif path.is_file():
        raise DatasetError(f"{path} is no folder, .csv or .parquet file", fix="check the path")
    elif is_shards(source):
        yield from _shards(str(source), wanted)
    else:
        _refuse_split(path, wanted)
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in SUFFIXES:
                yield Row(file.relative_to(path).as_posix(), file)


def _refuse_split(path: Path, wanted: Wanted) -> None:
    if wanted.split is not None:
        raise DatasetError(f"{path} has no splits", fix="leave out --split")


def _csv(path: Path, wanted: Wanted) -> Iterator[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or [])
            chosen, image_column = wanted.columns(names, path)
            if wanted.split is not None and "split" not in names:
                _refuse_split(path, wanted)
            for values in reader:
                if wanted.split is None or canonical_split(values["split"] or "") == canonical_split(wanted.split):
                    image = values[image_column]
                    yield Row(values[chosen or image_column] or "", path.parent / image if image else None)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read: {error}", fix="check that it is a UTF-8 CSV file") from error


def _parquet(path: Path, wanted: Wanted) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            chosen, image_column = _with_id(wanted.columns(file.schema_arrow.names, path), path)
            for batch in file.iter_batches(_ROWS_PER_READ, columns=[chosen, image_column]):
                yield from (_row(values, chosen, image_column, path.parent) for values in batch.to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path} is not a readable Parquet file: {error}", fix="check the file") from error


def _shards(data: str, wanted: Wanted) -> Iterator[Row]:
    from sat2sound.data.streams import stream_columns

    def choose(names: list[str]) -> tuple[str, ...]:
        return _with_id(wanted.columns(names, data), data)

    for (own, image), values in stream_columns(data, wanted.split, choose):
        yield _row(values, own, image, Path(data))


def _with_id(columns: tuple[str | None, str], source: object) -> tuple[str, str]:
    own, image = columns
    if own is None:
        raise DatasetError(f"{source} has no column {' or '.join(NAMES['id'])}", fix="name one with --id-column")
    return own, image


def _row(values: Mapping[str, Any], id_column: str, image_column: str, folder: Path) -> Row:
    own, image = values[id_column], values[image_column]
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path")
    if isinstance(image, str):
        image = folder / image if image else None
    return Row("" if own is None else str(own), image or None)
