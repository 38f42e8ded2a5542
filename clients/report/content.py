"""What a report says, independent of how it looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sat2sound
from sat2sound.clients.description import ModelDescription
from sat2sound.clients.ranking import Ranking
from sat2sound.clients.scene import Scene
from sat2sound.clients.stages import StageTimes

_WORDS = {
    "satellite": "satellite type",
    "zoom_level": "zoom level",
    "gsd": "metres per pixel",
    "latitude": "latitude",
    "longitude": "longitude",
    "month": "month",
    "hour": "local hour",
}


@dataclass(frozen=True)
class Report:
    """One image, what fits it, and how long that took.

    image: path or name of the image. first_request_ms: round trip of the very first request, which also warms up.
    created: when, with time zone.
    """

    image: str
    scene: Scene
    ranking: Ranking
    times: StageTimes
    first_request_ms: float
    server_version: str
    model: ModelDescription
    created: datetime

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What was said about the image: label, value."""
        said = vars(self.scene.metadata)
        return [(label, _plain(said[name])) for name, label in _WORDS.items() if said[name] is not None]

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the ranking."""
        ignored = self.model.ignored(self.scene.metadata.options())
        notes = list(self.scene.notes)
        if ignored:
            names = ", ".join(_WORDS.get(name, name) for name in ignored)
            notes.append(f"metadata ignored by this model (it was trained without): {names}")
        return notes

    def to_json(self) -> dict[str, Any]:
        """Plain values for report.json."""
        return {
            "server_version": self.server_version,
            "image": self.image,
            "ranking": self.ranking.to_json(),
            "stages_ms": _rounded(self.times.to_json()),
            "measured_requests": self.times.requests,
            "first_request_ms": round(self.first_request_ms, 3),
            "model": self.model.name,
            "scene": {
                "name": self.scene.name,
                "origin": self.scene.origin,
                "synthetic": self.scene.origin == "synthetic",
                **self.scene.metadata.options(),
            },
            "notes": self.notes,
            "created": self.created.isoformat(timespec="seconds"),
            "sat2sound_version": sat2sound.__version__,
        }


def _plain(value: Any) -> str:
    return f"{value:.5f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
