"""One's own data: a folder with samples.csv (or any .csv file), images and recordings beside it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sat2sound.data.choice import Choice
from sat2sound.data.columns import find_columns
from sat2sound.data.rows import RowReader
from sat2sound.data.samples import Sample
from sat2sound.data.skipped import first_lines
from sat2sound.data.splits import SPLITS, canonical_split, no_such_split
from sat2sound.errors import DatasetError

NAME = "samples.csv"
FIRST_ROW = 2  # as a spreadsheet counts: the names of the columns are row 1
DELIMITERS = ",;\t"
CONTENT = ("image", "audio")
_MUST_BE_RIGHT = ("latitude", "longitude", "split", "id")  # else the row would mean something else


@dataclass(frozen=True)
class TableRows:
    """The rows of one split: number in the file, id and values of each."""

    path: Path
    rows: list[tuple[int, str, Mapping[str, str]]]
    reader: RowReader

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        number, own, values = self.rows[index]
        return self.reader.sample(values, own, f"{self.path.name}, row {number}")

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def find_table(data: Path) -> Path | None:
    """The .csv file of this layout: itself, or samples.csv in a folder; None if there is none."""
    path = data / NAME if data.is_dir() else data
    return path if path.is_file() and path.suffix.lower() == ".csv" else None


def open_table_file(path: Path, split: str, choice: Choice) -> TableRows:
    """The rows of one split; images and recordings are read later. All rows of all splits are checked.

    Raises DatasetError that lists what is wrong, with row numbers: no such column, a split that is none, an id that
    occurs twice, coordinates that cannot be.
    """
    names, rows = read_table(path)
    columns = find_columns(names, choice, path)
    by_field = columns.by_field
    if not any(what in by_field for what in CONTENT) or "split" not in by_field:
        lacking = "split" if any(what in by_field for what in CONTENT) else "image or audio"
        meant = [f"{name} (did you mean {known}?)" for name, known in columns.unused.items() if known]
        raise DatasetError(
            f"{path} has no column {lacking}; it has {', '.join(names)}",
            fix="; ".join(["name the columns as docs/data.md says", *meant]),
        )
    reader = RowReader.of(columns, choice, path.parent)
    wanted = canonical_split(split)
    found: Counter[str] = Counter()
    chosen: list[tuple[int, str, Mapping[str, str]]] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, values in enumerate(rows, FIRST_ROW):
        own = (values.get(by_field["id"]) or "").strip() if "id" in by_field else f"{path.name}:{number}"
        belongs = canonical_split(values[by_field["split"]] or "")
        faults = _faults(values, own, belongs, by_field["split"], seen, number)
        faults += [reason for what, reason in reader.sample(values, own).problems if what in _MUST_BE_RIGHT]
        problems += [f"row {number}: {reason}" for reason in faults]
        if belongs:
            found[belongs] += 1
        if belongs and belongs == wanted:
            chosen.append((number, own, values))
    if problems:
        raise DatasetError(
            f"{path} has {len(problems)} rows that cannot be right:\n  " + "\n  ".join(first_lines(problems)),
            fix="mend or remove these rows (row 1 holds the names of the columns)",
        )
    if not chosen:
        raise no_such_split(split, found, path)
    return TableRows(path, chosen, reader)


def table_splits(path: Path) -> list[str]:
    """The splits that occur, in their usual order. Raises DatasetError."""
    names, rows = read_table(path)
    column = find_columns(names, Choice(image=False), path).by_field.get("split")
    found = {canonical_split(row.get(column) or "") for row in rows} if column else set()
    return [split for split in SPLITS if split in found]


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Names of the columns, and the rows; separated by commas, semicolons or tabs. Raises DatasetError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            head = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(DELIMITERS, key=head.count), strict=True)
            names = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = names
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read: {error}", fix="check that it is a CSV file in UTF-8") from error
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated or not rows:
        problem = f"has the column {repeated[0]!r} twice" if repeated else "has no rows"
        raise DatasetError(f"{path} {problem}", fix="check the file")
    ragged = [
        f"row {number} has {'more' if None in row else 'fewer'} values than the {len(names)} columns"
        for number, row in enumerate(rows, FIRST_ROW)
        if None in row or None in row.values()
    ]
    if ragged:
        raise DatasetError(
            f"{path} is uneven:\n  " + "\n  ".join(first_lines(ragged)),
            fix="put texts that hold the separator in double quotes",
        )
    return names, rows


def _faults(
    values: Mapping[str, str], own: str, belongs: str | None, column: str, seen: dict[str, int], number: int
) -> list[str]:
    faults = []
    if belongs is None:
        faults.append(f"unknown split {values[column]!r}; known are {', '.join(SPLITS)}")
    if not own:
        faults.append("the id is empty")
    elif own in seen:
        faults.append(f"the id {own!r} occurs in row {seen[own]} too")
    seen.setdefault(own, number)
    return faults
