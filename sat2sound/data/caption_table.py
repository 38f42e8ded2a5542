"""Image captions from a file of their own, as `sat2sound caption` writes it, to be joined with a dataset by id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sat2sound.data.columns import NAMES, image_caption_columns
from sat2sound.errors import DatasetError

Captions = Mapping[str, Mapping[int, str]]  # id -> zoom level -> caption


def read_captions(path: Path, satellite: str | None) -> Captions:
    """Captions of a .parquet or .jsonl file by id; rows that hold failures only are absent.

    satellite: whose, where the file has those of several types. Raises DatasetError: not readable, no ids, no captions
    of that type.
    """
    try:
        rows = _parquet(path) if path.suffix == ".parquet" else _lines(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path} cannot be read as captions: {error}", fix="give the file that `sat2sound caption` wrote"
        ) from error
    names = list(dict.fromkeys(name for row in rows[:1] for name in row))
    own, columns = next((name for name in NAMES["id"] if name in names), None), image_caption_columns(names, satellite)
    if own is None or not columns:
        lacking = f"captions of {satellite or 'one satellite type'}" if own else "column id"
        raise DatasetError(
            f"{path} has no {lacking}; it has {', '.join(names)}", fix="check --captions and --satellite"
        )
    found: dict[str, dict[int, str]] = {}
    for row in rows:
        captions = {zoom: text.strip() for zoom, name in columns.items() if (text := row.get(name)) and text.strip()}
        if captions:
            found[str(row[own])] = captions
    return found


def _parquet(path: Path) -> list[dict[str, Any]]:
    table = pq.read_table(path)
    rows: list[dict[str, Any]] = table.select(_wanted(table.column_names)).to_pylist()
    return rows


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return [{name: row[name] for name in _wanted(row)} for row in rows]


def _wanted(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.endswith("_failure")]
