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
from sat2sound.satellite_types import satellite_type


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


def prepare_satellite(request: SatelliteRequest, config: ModelConfig, limits: Limits) -> tuple[Pixels, Conditions]:
    """Pixels uint8 [224, 224, 3] and conditions of one request.

    With GSD, the image's largest centred square is the tile and GSD its ground width / tile pixels. Otherwise the image
    is at its satellite type's native distance (default: the model's own type) and zoom level (default 1) says how much
    of it is cropped. Wire values for "missing" (-1, NaN, "") count as left out. Raises InvalidInput; cheap checks of
    the metadata come before the image is decoded.
    """
    gsd = None if request.gsd is None or math.isnan(request.gsd) else check_ground_sample_distance(request.gsd)
    named = bool(request.satellite) or request.zoom_level not in (None, -1)
    if gsd is not None and named:
        raise InvalidInput(
            "GSD came together with SATELLITE or ZOOM_LEVEL",
            expected="either GSD, or SATELLITE and ZOOM_LEVEL",
            fix="leave GSD out if the image is at its satellite type's native distance, else send GSD alone",
        )
    kind = satellite_type(request.satellite) if request.satellite else config.satellite_type
    zoom_level = check_zoom_level(1 if request.zoom_level in (None, -1) else int(request.zoom_level or 0))
    latitude, longitude = check_location(request.latitude, request.longitude)
    conditions = Conditions(
        gsd=kind.ground_sample_distance(zoom_level) if gsd is None else gsd,
        latitude=latitude,
        longitude=longitude,
        month=check_month(request.month),
        hour=check_hour(request.hour),
        audio_source=check_source("audio", request.audio_source, AUDIO_SOURCES),
        caption_source=check_source("caption", request.caption_source, CAPTION_SOURCES),
    )
    image = decode_image(request.image, limits)
    pixels = crop_and_resize(image, kind, zoom_level) if gsd is None else resize_whole(image)
    return pixels, conditions
