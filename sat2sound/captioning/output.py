"""The captions of a finished run as Parquet or JSON lines: one row per image, two columns per zoom level."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sat2sound.atomic_files import replacing_file
from sat2sound.captioning.captioner import Answer
from sat2sound.captioning.journal import Key
from sat2sound.errors import DatasetError

_ROWS_PER_WRITE = 10_000
_METADATA_KEY = b"sat2sound_captions"


def caption_column(prefix: str, satellite: str, zoom_level: int) -> str:
    """A column's name, e.g. llava_caption_bingmap_zl3."""
    return f"{prefix}_{satellite.lower()}_zl{zoom_level}"


def check_output(path: Path) -> None:
    """Raises DatasetError if the kind of file is unknown."""
    if path.suffix not in (".parquet", ".jsonl"):
        raise DatasetError(f"{path} is neither .parquet nor .jsonl", fix="choose one of these endings for --out")


def write_captions(
    path: Path,
    ids: Sequence[str],
    columns: Mapping[int, str],
    answers: Mapping[Key, Answer],
    settings: Mapping[str, object],
) -> None:
    """Write all rows; the file appears whole or not at all. columns: zoom level -> column name.

    Each column <name> has <name>_failure beside it: exactly one of the two is null. settings: kept in the
    Parquet file's metadata. Raises OSError.
    """
    fields = [pa.field("id", pa.string())]
    for column in columns.values():
        fields += [pa.field(column, pa.string()), pa.field(f"{column}_failure", pa.string())]
    schema = pa.schema(fields, metadata={_METADATA_KEY: json.dumps(dict(settings)).encode()})
    with replacing_file(path) as partial, partial.open("wb") as file:
        if path.suffix == ".parquet":
            with pq.ParquetWriter(file, schema) as writer:
                for rows in _blocks(ids, columns, answers):
                    writer.write_table(pa.Table.from_pylist(rows, schema))
        else:
            for rows in _blocks(ids, columns, answers):
                file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _blocks(
    ids: Sequence[str], columns: Mapping[int, str], answers: Mapping[Key, Answer]
) -> Iterator[list[dict[str, str | None]]]:
    for start in range(0, len(ids), _ROWS_PER_WRITE):
        rows = []
        for own in ids[start : start + _ROWS_PER_WRITE]:
            row: dict[str, str | None] = {"id": own}
            for zoom_level, column in columns.items():
                answer = answers[own, zoom_level]
                row |= {column: answer.caption, f"{column}_failure": answer.failure}
            rows.append(row)
        yield rows
