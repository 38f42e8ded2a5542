"""From one request to pixels and conditions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import made_inputs
import numpy as np
import pytest

from sat2sound.configs import load_config
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import Limits, SatelliteRequest, crop_and_resize, prepare_satellite, resize_whole
from sat2sound.satellite_types import SATELLITE_TYPES

PICTURE = made_inputs.picture().resize((900, 700))
REQUEST = SatelliteRequest(image=made_inputs.encoded(PICTURE))
CONFIG = load_config("starter")


def prepare(**options: Any) -> Any:
    return prepare_satellite(replace(REQUEST, **options), CONFIG, Limits())


def test_the_models_own_type_is_the_default() -> None:
    pixels, conditions = prepare()
    np.testing.assert_array_equal(pixels, crop_and_resize(PICTURE, CONFIG.satellite_type, 1))
    assert conditions.gsd == 0.3
    assert np.isnan(conditions.as_array()[1:]).all()


@pytest.mark.parametrize(
    ("name", "zoom_level", "gsd"), [("bingmap", 3, 1.8), ("sentinel", 1, 10.0), ("googleEarth", 5, 1)]
)
def test_type_and_zoom_level(name: str, zoom_level: int, gsd: float) -> None:
    pixels, conditions = prepare(satellite=name, zoom_level=zoom_level)
    np.testing.assert_array_equal(pixels, crop_and_resize(PICTURE, SATELLITE_TYPES[name], zoom_level))
    assert conditions.gsd == pytest.approx(gsd, abs=1e-12)


def test_with_gsd_the_image_is_the_tile() -> None:
    pixels, conditions = prepare(gsd=2.5)
    np.testing.assert_array_equal(pixels, resize_whole(PICTURE))
    assert conditions.gsd == 2.5


def test_everything_said() -> None:
    options: dict[str, Any] = {"latitude": -33.5, "longitude": 151.25, "month": 12, "hour": 0}
    _, conditions = prepare(**options, audio_source="aporee", caption_source="qwen")
    assert conditions.as_array()[1:].tolist() == [-33.5, 151.25, 12, 0, 2, 1]


def test_wire_values_for_missing_count_as_left_out() -> None:
    nothing: dict[str, Any] = {"satellite": "", "zoom_level": -1, "gsd": math.nan, "latitude": math.nan}
    nothing |= {"longitude": math.nan, "month": -1, "hour": -1, "audio_source": "", "caption_source": ""}
    pixels, conditions = prepare(**nothing)
    expected, left_out = prepare()
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(conditions.as_array(), left_out.as_array())


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "GSD and type": ({"gsd": 0.3, "satellite": "aerial"}, "GSD came together with SATELLITE or ZOOM_LEVEL"),
    "GSD and zoom level": ({"gsd": 0.3, "zoom_level": 1}, "GSD came together with SATELLITE or ZOOM_LEVEL"),
    "type": (
        {"satellite": "hubble"},
        "unknown satellite type 'hubble'; expected one of bingmap, sentinel, googleEarth",
    ),
    "zoom level 0": ({"zoom_level": 0}, "zoom level is 0"),
    "place": ({"latitude": 91.0, "longitude": 0.0}, "latitude is 91"),
    "hour": ({"hour": 24}, "hour is 24"),
    "source": ({"audio_source": "YFCC"}, "unknown audio source 'YFCC'"),
    "image": ({"image": b"<html>"}, "not an image"),
    # cheap checks come first: a bad month is reported without decoding the image
    "month before image": ({"image": b"", "month": 13}, "month is 13"),
}


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=list(REFUSED))
def test_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        prepare(**options)
