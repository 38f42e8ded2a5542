"""Gallery entries: what one of them may hold."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass

from sat2sound.errors import ConfigurationError

LICENCE = "CC0-1.0"
MODALITIES = ("text", "audio")
MAX_CHARACTERS = {"id": 200, "caption": 2000, "modality": 20, "sound": 2000, "licence": 200, "tags": 2000}
_REQUIRED = ("id", "caption", "modality")
_DEGREES = {"latitude": 90.0, "longitude": 180.0}
_UNPRINTABLE = ("Cc", "Cs")  # control characters, and halves of characters that UTF-8 cannot hold


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


def check_entry(entry: GalleryEntry, where: str) -> None:
    """Raise ConfigurationError, beginning with `where`, unless the entry can be ranked, shown and sent."""
    for name, most in MAX_CHARACTERS.items():
        _check_text(name, getattr(entry, name), most, where)
    if entry.modality not in MODALITIES:
        raise ConfigurationError(f"{where}: modality is {entry.modality!r}, expected {' or '.join(MODALITIES)}")
    for name, most_degrees in _DEGREES.items():
        _check_degrees(name, getattr(entry, name), most_degrees, where)
    if (entry.latitude is None) != (entry.longitude is None):
        raise ConfigurationError(f"{where}: give latitude and longitude together, or neither")


def _check_text(name: str, value: object, most: int, where: str) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{where}: {name} is {_shown(value)}, expected text")
    if name in _REQUIRED and not value.strip():
        raise ConfigurationError(f"{where}: {name} must not be empty")
    if len(value) > most:
        raise ConfigurationError(f"{where}: {name} has {len(value)} characters, at most {most}")
    odd = next((character for character in value if unicodedata.category(character) in _UNPRINTABLE), None)
    if odd is not None:
        hint = "; is a quote not closed?" if odd in "\r\n" else ""
        raise ConfigurationError(f"{where}: {name} contains the character {odd!a}{hint}")


def _check_degrees(name: str, value: object, most: float, where: str) -> None:
    if value is None:
        return
    # Written so that NaN fails too.
    if not isinstance(value, float | int) or not math.fabs(value) <= most:
        raise ConfigurationError(f"{where}: {name} is {_shown(value)}, expected degrees from {-most:g} to {most:g}")


def _shown(value: object) -> str:
    """A value of a foreign file, short enough for a message."""
    return repr(value)[:80]
