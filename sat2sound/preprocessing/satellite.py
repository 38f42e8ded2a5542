"""One satellite request, from what the caller sent to what the encoder takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sat2sound.configs import ModelConfig
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.image import Pixels, crop_and_resize, decode_image, resize_whole
from sat2sound.preprocessing.limits import Limits
from sat2sound.preprocessing.metadata import (
    AUDIO_SOURCES,
    CAPTION_SOURCES,
    Conditions,
    check_ground_sample_distance,
    check_hour,
    check_location,
    check_month,
    check_source,
    check_zoom_level,
)
from sat2sound.satellite_types import SatelliteType, satellite_type


@dataclass(frozen=True)
class SatelliteRequest:
    """An encoded image and what is known about it. None = left out; units as in the wire contract."""

    image: bytes
    satellite: str | None = None
    zoom_level: int | None = None
    gsd: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    month: int | None = None
    hour: int | None = None
    audio_source: str | None = None
    caption_source: str | None = None


@dataclass(frozen=True)
class Scale:
    """The image on the ground. gsd: metres per tile pixel of the whole image; None: it is cropped by zoom level."""

    kind: SatelliteType
    zoom_level: int
    gsd: float | None

    @property
    def ground_sample_distance(self) -> float:
        """Metres per tile pixel of what the encoder sees."""
        return self.kind.ground_sample_distance(self.zoom_level) if self.gsd is None else self.gsd


def read_scale(request: SatelliteRequest, default: SatelliteType) -> Scale:
    """What the request says of the image's scale. default: the satellite type if it names none. Raises InvalidInput."""
    gsd = None if request.gsd is None or math.isnan(request.gsd) else check_ground_sample_distance(request.gsd)
    named = bool(request.satellite) or request.zoom_level not in (None, -1)
    if gsd is not None and named:
        raise InvalidInput(
            "GSD came together with SATELLITE or ZOOM_LEVEL",
            expected="either GSD, or SATELLITE and ZOOM_LEVEL",
            fix="leave GSD out if the image is at its satellite type's native distance, else send GSD alone",
        )
    kind = satellite_type(request.satellite) if request.satellite else default
    return Scale(kind, check_zoom_level(1 if request.zoom_level in (None, -1) else int(request.zoom_level or 0)), gsd)


def read_conditions(request: SatelliteRequest, scale: Scale) -> Conditions:
    """What the encoder is told beside the pixels. Raises InvalidInput for a value out of its range."""
    latitude, longitude = check_location(request.latitude, request.longitude)
    return Conditions(
        gsd=scale.ground_sample_distance,
        latitude=latitude,
        longitude=longitude,
        month=check_month(request.month),
        hour=check_hour(request.hour),
        audio_source=check_source("audio", request.audio_source, AUDIO_SOURCES),
        caption_source=check_source("caption", request.caption_source, CAPTION_SOURCES),
    )


def prepare_satellite(request: SatelliteRequest, config: ModelConfig, limits: Limits) -> tuple[Pixels, Conditions]:
    """Pixels uint8 [224, 224, 3] and conditions of one request.

    With GSD, the image's largest centred square is the tile and GSD its ground width / tile pixels. Otherwise the image
    is at its satellite type's native distance (default: the model's own type) and zoom level (default 1) says how much
    of it is cropped. Wire values for "missing" (-1, NaN, "") count as left out. Raises InvalidInput; cheap checks of
    the metadata come before the image is decoded.
    """
    scale = read_scale(request, config.satellite_type)
    conditions = read_conditions(request, scale)
    image = decode_image(request.image, limits)
    pixels = crop_and_resize(image, scale.kind, scale.zoom_level) if scale.gsd is None else resize_whole(image)
    return pixels, conditions
