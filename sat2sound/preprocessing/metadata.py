"""What is known about a recording: checked, and brought into the numbers that the encoder takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sat2sound.errors import InvalidInput

AUDIO_SOURCES = {"yfcc": 0, "iNat": 1, "aporee": 2, "freesound": 3}
CAPTION_SOURCES = {"meta": 0, "qwen": 1, "pengi": 2}
MISSING = math.nan
ZOOM_LEVELS = (1, 10)
GROUND_SAMPLE_DISTANCES = (0.01, 1000.0)  # metres per pixel


@dataclass(frozen=True)
class Metadata:
    """What is known about a recording at a place; None = unknown. Degrees, month 1..12, local hour 0..23."""

    latitude: float | None = None
    longitude: float | None = None
    month: int | None = None
    hour: int | None = None
    audio_source: str | None = None
    caption_source: str | None = None


@dataclass(frozen=True)
class Conditions:
    """Prepared metadata of one image, in the order of contract.CONDITIONS. NaN = missing.

    gsd: metres per pixel of the tile. latitude, longitude: degrees. month: 1..12. hour: 0..23. Sources: by id.
    """

    gsd: float
    latitude: float = MISSING
    longitude: float = MISSING
    month: float = MISSING
    hour: float = MISSING
    audio_source: float = MISSING
    caption_source: float = MISSING

    def as_array(self) -> npt.NDArray[np.float32]:
        """float32 [7]."""
        return np.array(
            [self.gsd, self.latitude, self.longitude, self.month, self.hour, self.audio_source, self.caption_source],
            dtype=np.float32,
        )


def check_location(latitude: float | None, longitude: float | None) -> tuple[float, float]:
    """Degrees, both or neither (None or NaN = missing). Raises InvalidInput."""
    north = MISSING if latitude is None else float(latitude)
    east = MISSING if longitude is None else float(longitude)
    if math.isnan(north) != math.isnan(east):
        lone, lacking = ("latitude", "longitude") if math.isnan(east) else ("longitude", "latitude")
        raise InvalidInput(
            f"{lone} came without {lacking}",
            expected="both coordinates, or neither (left out or NaN)",
            fix=f"send {lacking} too, or leave {lone} out",
        )
    _check_range("latitude", north, -90.0, 90.0, "degrees", "check that latitude and longitude are not swapped")
    _check_range("longitude", east, -180.0, 180.0, "degrees", "subtract 360 from longitudes above 180")
    return north, east


def check_month(month: int | None) -> float:
    """1..12, or None / -1 for missing (then NaN). Raises InvalidInput."""
    return _check_integer("month", month, 1, 12, "January is 1; send -1 or leave it out if unknown")


def check_hour(hour: int | None) -> float:
    """Local hour 0..23, or None / -1 for missing (then NaN). Raises InvalidInput."""
    return _check_integer("hour", hour, 0, 23, "midnight is 0; send -1 or leave it out if unknown")


def check_zoom_level(zoom_level: int) -> int:
    """1..10; the published models saw 1, 3 and 5. Raises InvalidInput."""
    low, high = ZOOM_LEVELS
    if not low <= zoom_level <= high:
        raise InvalidInput(
            f"zoom level is {zoom_level}", expected=f"{low} to {high}", fix="use 1 unless the image covers more ground"
        )
    return int(zoom_level)


def check_ground_sample_distance(gsd: float) -> float:
    """Metres per tile pixel. Raises InvalidInput."""
    low, high = GROUND_SAMPLE_DISTANCES
    if math.isnan(gsd):
        raise InvalidInput(
            "GSD is NaN", expected=f"{low} to {high} metres per pixel", fix="send a number or leave it out"
        )
    _check_range("GSD", gsd, low, high, "metres per pixel", "send the image's ground width in metres / tile pixels")
    return float(gsd)


def check_source(kind: str, name: str | None, known: dict[str, int]) -> float:
    """The id of a source name, NaN if it is None or empty. Raises InvalidInput listing the known names."""
    if not name:
        return MISSING
    if name not in known:
        raise InvalidInput(
            f"unknown {kind} source {name[:80]!r}",
            expected=f"one of {', '.join(known)}",
            fix="send one, or leave it out",
        )
    return float(known[name])


def _check_range(what: str, value: float, low: float, high: float, unit: str, fix: str) -> None:
    if not (math.isnan(value) or low <= value <= high):
        raise InvalidInput(f"{what} is {value:g}", expected=f"{low:g} to {high:g} {unit}", fix=fix)


def _check_integer(what: str, value: int | None, low: int, high: int, fix: str) -> float:
    if value is None or value == -1:
        return MISSING
    if not low <= value <= high or value != int(value):
        raise InvalidInput(f"{what} is {value}", expected=f"{low} to {high}", fix=fix)
    return float(value)
