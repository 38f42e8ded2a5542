"""What is known about a recording: checked, and brought into the numbers that the encoder takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sat2sound.errors import InvalidInput

AUDIO_SOURCES = {"yfcc": 0, "iNat": 1, "aporee": 2, "freesound": 3}
CAPTION_SOURCES = {"meta": 0, "qwen": 1, "pengi": 2}
MISSING = math.nan
ZOOM_LEVELS = (1, 10)
GROUND_SAMPLE_DISTANCES = (0.01, 1000.0)  # metres per pixel
LATITUDES, LONGITUDES = (-90.0, 90.0), (-180.0, 180.0)  # degrees
MONTHS, HOURS = (1, 12), (0, 23)
# What each input of contract.CONDITIONS may be, if it is not missing
CONDITION_RANGES: dict[str, tuple[float, float]] = {
    "GSD": GROUND_SAMPLE_DISTANCES,
    "LATITUDE": LATITUDES,
    "LONGITUDE": LONGITUDES,
    "MONTH": MONTHS,
    "HOUR": HOURS,
    "AUDIO_SOURCE": (0, len(AUDIO_SOURCES) - 1),
    "CAPTION_SOURCE": (0, len(CAPTION_SOURCES) - 1),
}


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

    gsd: metres per pixel of the tile (missing: the model's native one). latitude, longitude: degrees. month: 1..12.
    hour: 0..23. Sources: by id.
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
    _check_range("latitude", north, LATITUDES, "degrees", "check that latitude and longitude are not swapped")
    _check_range("longitude", east, LONGITUDES, "degrees", "subtract 360 from longitudes above 180")
    return north, east


def check_month(month: float | None) -> float:
    """1..12, or None / -1 for missing (then NaN). Raises InvalidInput."""
    return _check_integer("month", month, MONTHS, "January is 1; send -1 or leave it out if unknown")


def check_hour(hour: float | None) -> float:
    """Local hour 0..23, or None / -1 for missing (then NaN). Raises InvalidInput."""
    return _check_integer("hour", hour, HOURS, "midnight is 0; send -1 or leave it out if unknown")


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
    _check_range(
        "GSD", gsd, GROUND_SAMPLE_DISTANCES, "metres per pixel", "send the image's ground width in metres / tile pixels"
    )
    return float(gsd)


def check_conditions(values: Sequence[float]) -> Conditions:
    """Prepared metadata that a caller made himself. values: [7] in the order of contract.CONDITIONS, NaN = missing.

    Raises InvalidInput for what no model was trained on.
    """
    gsd, latitude, longitude, month, hour, audio_source, caption_source = map(float, values)
    location = check_location(latitude, longitude)
    return Conditions(
        gsd if math.isnan(gsd) else check_ground_sample_distance(gsd),
        *location,
        check_month(None if math.isnan(month) else month),
        check_hour(None if math.isnan(hour) else hour),
        _check_source_id("audio", audio_source, AUDIO_SOURCES),
        _check_source_id("caption", caption_source, CAPTION_SOURCES),
    )


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


def _check_source_id(kind: str, number: float, known: dict[str, int]) -> float:
    if not math.isnan(number) and number not in known.values():
        listed = ", ".join(f"{entry} ({name})" for name, entry in known.items())
        raise InvalidInput(f"{kind} source is {number:g}", expected=f"one of {listed}", fix="send NaN if unknown")
    return number


def _check_range(what: str, value: float, bounds: tuple[float, float], unit: str, fix: str) -> None:
    low, high = bounds
    if not (math.isnan(value) or low <= value <= high):
        raise InvalidInput(f"{what} is {value:g}", expected=f"{low:g} to {high:g} {unit}", fix=fix)


def _check_integer(what: str, value: float | None, bounds: tuple[int, int], fix: str) -> float:
    low, high = bounds
    if value is None or value == -1:
        return MISSING
    if not low <= value <= high or value != int(value):
        raise InvalidInput(f"{what} is {value:.10g}", expected=f"{low} to {high}", fix=fix)
    return float(value)
