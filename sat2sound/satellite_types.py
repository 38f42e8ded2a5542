"""The satellite image sources that models were trained on: one table for preprocessing, models and clients."""

from __future__ import annotations

from dataclasses import dataclass

from sat2sound.errors import InvalidInput


@dataclass(frozen=True)
class SatelliteType:
    """One image source.

    name: as sent on the wire and named in checkpoints.
    metres_per_pixel: native ground sample distance at zoom level 1.
    tile_pixels: side of the centre crop at zoom level 1, before it is resized for the encoder.
    """

    name: str
    metres_per_pixel: float
    tile_pixels: int

    def ground_sample_distance(self, zoom_level: int) -> float:
        """Metres per tile pixel at this zoom level: zoom level x native distance (MODEL.md, satellite branch)."""
        return zoom_level * self.metres_per_pixel


SATELLITE_TYPES: dict[str, SatelliteType] = {
    kind.name: kind
    for kind in (
        SatelliteType("bingmap", 0.6, 300),
        SatelliteType("sentinel", 10.0, 256),
        SatelliteType("googleEarth", 0.2, 256),
        SatelliteType("aerial", 0.3, 256),  # the starter's training images (UC Merced, USGS orthoimagery)
    )
}


def satellite_type(name: str) -> SatelliteType:
    """The satellite type of this exact name. Raises InvalidInput that lists the known names."""
    try:
        return SATELLITE_TYPES[name]
    except KeyError:
        raise InvalidInput(
            f"unknown satellite type {name[:80]!r}",
            expected=f"one of {', '.join(SATELLITE_TYPES)}",
            fix="send one of these names, or leave it out for the model's own type",
        ) from None
