"""Captions from a CSV file, such as the ones that come with the project."""

from __future__ import annotations

import csv
from pathlib import Path

from sat2sound.errors import ConfigurationError
from sat2sound.gallery.entries import LICENCE, GalleryEntry, check_entry

CAPTIONS = Path(__file__).parent / "soundscapes.csv"
_REQUIRED = ("id", "caption")
_OPTIONAL = ("tags", "sound", "licence", "latitude", "longitude", "modality")


def read_captions(path: Path = CAPTIONS) -> list[GalleryEntry]:
    """Entries of a UTF-8 CSV file: columns id, caption and optionally tags, sound, licence, latitude, longitude.

    A modality column is allowed, but captions are text. Raises ConfigurationError naming the file, the line and the
    problem; the line is the one that a row ends on.
    """
    try:
        # utf-8-sig: spreadsheets put a byte order mark first, which would become part of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(csv.DictReader(file, strict=True), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} is not a readable CSV file in UTF-8: {error}") from error


def _read(reader: csv.DictReader[str], path: Path) -> list[GalleryEntry]:
    _check_columns(list(reader.fieldnames or []), path)
    entries: dict[str, GalleryEntry] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        entry = _entry(row, where)
        if entry.id in entries:
            raise ConfigurationError(f"{where}: the id {entry.id!r} is there already")
        entries[entry.id] = entry
    if not entries:
        raise ConfigurationError(f"{path}: no captions in it")
    return list(entries.values())


def _check_columns(found: list[str], path: Path) -> None:
    lacking = [name for name in _REQUIRED if name not in found]
    if lacking:
        raise ConfigurationError(f"{path}: lacks the columns {', '.join(lacking)}; found {', '.join(found) or 'none'}")
    # A misspelt column must not pass: "license" unread would publish everything under the default licence.
    wrong = [name for name in found if name not in (*_REQUIRED, *_OPTIONAL) or found.count(name) > 1]
    if wrong:
        raise ConfigurationError(
            f"{path}: unknown or repeated columns {', '.join(map(repr, wrong))}; "
            f"known, once each: {', '.join((*_REQUIRED, *_OPTIONAL))}"
        )


def _entry(row: dict[str, str | None], where: str) -> GalleryEntry:
    if None in row:  # where csv.DictReader puts cells beyond the header
        raise ConfigurationError(f"{where}: more cells than columns; put captions that contain commas in quotes")
    cells = {name: (value or "").strip() for name, value in row.items()}
    if cells.get("modality", "") not in ("", "text"):
        raise ConfigurationError(f"{where}: modality is {cells['modality']!r}, but captions are embedded as text")
    entry = GalleryEntry(
        id=cells["id"],
        caption=cells["caption"],
        sound=cells.get("sound", ""),
        licence=cells.get("licence") or LICENCE,
        latitude=_degrees(cells, "latitude", where),
        longitude=_degrees(cells, "longitude", where),
        tags=cells.get("tags", ""),
    )
    check_entry(entry, where)
    return entry


def _degrees(cells: dict[str, str], column: str, where: str) -> float | None:
    value = cells.get(column)
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(f"{where}: {column} is {value[:80]!r}, expected degrees") from None
