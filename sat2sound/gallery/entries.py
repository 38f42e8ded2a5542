"""Gallery entries, and the captions that come with the project."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from sat2sound.errors import ConfigurationError

CAPTIONS = Path(__file__).parent / "soundscapes.csv"
LICENCE = "CC0-1.0"
MAX_CAPTION_CHARACTERS = 2000
_REQUIRED = ("id", "caption")


@dataclass(frozen=True)
class GalleryEntry:
    """One thing that can be found.

    id: stable and unique. modality: what its embedding is of ("text" or "audio"). caption: what it sounds like. sound:
    URI of a recording or "". licence: SPDX identifier. latitude, longitude: degrees or None. tags: free words.
    """

    id: str
    caption: str
    modality: str = "text"
    sound: str = ""
    licence: str = LICENCE
    latitude: float | None = None
    longitude: float | None = None
    tags: str = ""


def read_captions(path: Path = CAPTIONS) -> list[GalleryEntry]:
    """Entries of a CSV file with the columns id, caption and optionally tags, sound, licence, latitude, longitude.

    Raises ConfigurationError naming the file, the line and the problem.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lacking = [name for name in _REQUIRED if name not in (reader.fieldnames or [])]
        if lacking:
            raise ConfigurationError(f"{path}: lacks the columns {', '.join(lacking)}; found {reader.fieldnames}")
        entries: dict[str, GalleryEntry] = {}
        for row in reader:
            entry = _entry(row, f"{path}, line {reader.line_num}")
            if entry.id in entries:
                raise ConfigurationError(f"{path}, line {reader.line_num}: the id {entry.id!r} is there already")
            entries[entry.id] = entry
    if not entries:
        raise ConfigurationError(f"{path}: no captions in it")
    return list(entries.values())


def _entry(row: dict[str, str | None], where: str) -> GalleryEntry:
    identifier, caption = (row["id"] or "").strip(), (row["caption"] or "").strip()
    if not identifier or not caption:
        raise ConfigurationError(f"{where}: id and caption must not be empty")
    if len(caption) > MAX_CAPTION_CHARACTERS:
        raise ConfigurationError(
            f"{where}: the caption has {len(caption)} characters, at most {MAX_CAPTION_CHARACTERS}"
        )
    return GalleryEntry(
        id=identifier,
        caption=caption,
        sound=row.get("sound") or "",
        licence=row.get("licence") or LICENCE,
        latitude=_degrees(row, "latitude", where),
        longitude=_degrees(row, "longitude", where),
        tags=row.get("tags") or "",
    )


def _degrees(row: dict[str, str | None], column: str, where: str) -> float | None:
    value = row.get(column)
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(f"{where}: {column} is {value!r}, expected degrees") from None
