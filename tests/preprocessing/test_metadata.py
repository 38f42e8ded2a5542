"""Metadata: what is allowed, what counts as missing, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sat2sound.contract import CONDITIONS
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import AUDIO_SOURCES, CAPTION_SOURCES, Conditions
from sat2sound.preprocessing.metadata import (
    check_ground_sample_distance,
    check_hour,
    check_location,
    check_month,
    check_source,
    check_zoom_level,
)

NAN, INFINITY = math.nan, math.inf


def test_ids_are_the_published_ones() -> None:
    assert AUDIO_SOURCES == {"yfcc": 0, "iNat": 1, "aporee": 2, "freesound": 3}
    assert CAPTION_SOURCES == {"meta": 0, "qwen": 1, "pengi": 2}


def test_array_follows_the_contract() -> None:
    conditions = Conditions(0.6, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    by_name = [getattr(conditions, tensor.name.lower()) for tensor in CONDITIONS]
    array = conditions.as_array()
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.asarray(by_name, np.float32))
    assert np.isnan(Conditions(0.6).as_array()).tolist() == [False, *[True] * 6]


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_on_earth(latitude: float, longitude: float) -> None:
    assert check_location(latitude, longitude) == (latitude, longitude)


@pytest.mark.parametrize(("latitude", "longitude"), [(None, None), (NAN, NAN), (None, NAN)])
def test_no_place(latitude: float | None, longitude: float | None) -> None:
    assert all(math.isnan(value) for value in check_location(latitude, longitude))


REFUSED: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "latitude 91": (check_location, (91.0, 0.0), "latitude is 91; expected -90 to 90 degrees; .*swapped"),
    "latitude infinite": (check_location, (INFINITY, 0.0), "latitude is inf"),
    "longitude -181": (check_location, (0.0, -181.0), "longitude is -181; expected -180 to 180"),
    "longitude infinite": (check_location, (0.0, -INFINITY), "longitude is -inf"),
    "latitude alone": (check_location, (1.0, None), "latitude came without longitude"),
    "longitude alone": (check_location, (NAN, 1.0), "longitude came without latitude"),
    "month 0": (check_month, (0,), "month is 0; expected 1 to 12"),
    "month 13": (check_month, (13,), "month is 13; expected 1 to 12"),
    "month -2": (check_month, (-2,), "month is -2"),
    "month 6.5": (check_month, (6.5,), r"month is 6\.5"),
    "month NaN": (check_month, (NAN,), "month is nan"),
    "hour 24": (check_hour, (24,), "hour is 24; expected 0 to 23"),
    "hour infinite": (check_hour, (INFINITY,), "hour is inf"),
    "hour of 32 bits": (check_hour, (2**31 - 1,), "hour is 2147483647"),
    "zoom level 0": (check_zoom_level, (0,), "zoom level is 0; expected 1 to 10"),
    "zoom level 11": (check_zoom_level, (11,), "zoom level is 11"),
    "GSD 0": (check_ground_sample_distance, (0.0,), r"GSD is 0; expected 0\.01 to 1000 metres per pixel"),
    "GSD negative": (check_ground_sample_distance, (-1.0,), "GSD is -1"),
    "GSD NaN": (check_ground_sample_distance, (NAN,), "GSD is NaN"),
    "GSD infinite": (check_ground_sample_distance, (INFINITY,), "GSD is inf"),
    "source": (check_source, ("audio", "x" * 9999, AUDIO_SOURCES), "expected one of yfcc, iNat, aporee, freesound"),
}


@pytest.mark.parametrize(("check", "arguments", "said"), REFUSED.values(), ids=list(REFUSED))
def test_refused(check: Callable[..., Any], arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        check(*arguments)
    assert caught.value.fix
    assert len(str(caught.value)) < 400


def test_months_hours_and_sources() -> None:
    assert [check_month(month) for month in range(1, 13)] == list(range(1, 13))
    assert [check_hour(hour) for hour in range(24)] == list(range(24))
    assert [check_zoom_level(level) for level in range(1, 11)] == list(range(1, 11))
    assert check_source("caption", "pengi", CAPTION_SOURCES) == 2.0
    missing = [check_month(None), check_month(-1), check_hour(None), check_hour(-1), check_source("audio", "", {})]
    assert all(math.isnan(value) for value in missing)


@given(st.floats())
def test_any_distance_is_kept_or_refused(gsd: float) -> None:
    try:
        kept = check_ground_sample_distance(gsd)
    except InvalidInput:
        assert not 0.01 <= gsd <= 1000
    else:
        assert kept == gsd
        assert 0.01 <= gsd <= 1000
