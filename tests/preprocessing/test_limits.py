"""Limits: from the environment, and consistent."""

from __future__ import annotations

import pytest

from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.preprocessing import Limits
from sat2sound.preprocessing.limits import check_encoded_size


def test_defaults_and_environment() -> None:
    assert Limits.from_environment({}) == Limits()
    limits = Limits.from_environment({"SAT2SOUND_MAX_IMAGE_PIXELS": "1000", "SAT2SOUND_MIN_AUDIO_SECONDS": "0.2"})
    assert (limits.max_image_pixels, limits.min_audio_seconds) == (1000, 0.2)
    assert limits.max_encoded_bytes == 33_554_432


@pytest.mark.parametrize("value", ["", "many", "nan", "inf", "0", "-3", "1e9", "12.5"])
def test_values_that_are_no_whole_positive_number(value: str) -> None:
    with pytest.raises(ConfigurationError, match="SAT2SOUND_MAX_IMAGE_PIXELS"):
        Limits.from_environment({"SAT2SOUND_MAX_IMAGE_PIXELS": value})


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "ten"])
def test_seconds_that_are_no_positive_number(value: str) -> None:
    with pytest.raises(ConfigurationError, match="SAT2SOUND_MAX_AUDIO_SECONDS"):
        Limits.from_environment({"SAT2SOUND_MAX_AUDIO_SECONDS": value})


def test_contradictions() -> None:
    with pytest.raises(ConfigurationError, match="nothing would be accepted"):
        Limits(min_audio_seconds=10.0, max_audio_seconds=5.0)
    with pytest.raises(ConfigurationError, match="the most that the image decoder takes"):
        Limits(max_image_pixels=200_000_000)


def test_encoded_size() -> None:
    limits = Limits(max_encoded_bytes=2 * 1024 * 1024)
    check_encoded_size(bytes(2 * 1024 * 1024), limits, "image")
    with pytest.raises(InvalidInput, match=r"the encoded image has 2\.0 MiB; expected at most 2 MiB"):
        check_encoded_size(bytes(2 * 1024 * 1024 + 1), limits, "image")
    with pytest.raises(InvalidInput, match="the recording is empty"):
        check_encoded_size(b"", limits, "recording")
