"""What one crop covers on the ground, as the model expects it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sat2sound.clients.georeference import COARSER_IS_FAR
from sat2sound.preprocessing.metadata import check_zoom_level
from sat2sound.satellite_types import SatelliteType, satellite_type


@dataclass(frozen=True)
class Footprint:
    """satellite: the image source that the model was trained on. zoom_level: 1 to 10, how many tiles wide a crop is."""

    satellite: SatelliteType
    zoom_level: int = 1

    def __post_init__(self) -> None:
        check_zoom_level(self.zoom_level)

    @property
    def pixels(self) -> int:
        """Side of the crop in pixels of the model's native ground sample distance."""
        return self.satellite.tile_pixels * self.zoom_level

    @property
    def metres_per_pixel(self) -> float:
        """The native ground sample distance, at which imagery is read."""
        return self.satellite.metres_per_pixel

    @property
    def metres(self) -> float:
        """Side of the crop on the ground."""
        return self.pixels * self.metres_per_pixel

    @property
    def ground_sample_distance(self) -> float:
        """The GSD that the encoder is told: metres per pixel of the tile that the crop becomes."""
        return self.satellite.ground_sample_distance(self.zoom_level)

    def to_json(self) -> dict[str, Any]:
        """For a map's metadata."""
        return {"satellite": self.satellite.name, "zoom_level": self.zoom_level}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Footprint:
        """The inverse of `to_json`."""
        return cls(satellite_type(document["satellite"]), int(document["zoom_level"]))


def scale_notes(metres_per_pixel: float | None, footprint: Footprint) -> list[str]:
    """A warning if imagery is far coarser than what the model was trained on."""
    native = footprint.metres_per_pixel
    if metres_per_pixel is None or metres_per_pixel <= COARSER_IS_FAR * native:
        return []
    return [
        f"the imagery has {metres_per_pixel:.3g} m per pixel, {metres_per_pixel / native:.0f} times coarser than the "
        f"{native:g} m that the model was trained on: no claim is made about the map's quality"
    ]
