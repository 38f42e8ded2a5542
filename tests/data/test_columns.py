"""Every published column finds its field; of several images and captions the chosen ones; mistyped names are told."""

from __future__ import annotations

import pytest
from published_shards import GEOSOUND, SOUNDING_EARTH

from sat2sound.data.choice import Choice
from sat2sound.data.columns import find_columns
from sat2sound.errors import DatasetError, InvalidInput


def test_geosounds_columns() -> None:
    found = find_columns(GEOSOUND, Choice("sentinel", log_mels=True), "GeoSound")
    assert found.by_field == {
        "id": "sample_id",
        "audio": "audio",
        "log_mels": "mel_features",
        "audio_caption": "audio_caption",
        "caption_source": "audio_caption_source",
        "audio_source": "source",
        "latitude": "latitude",
        "longitude": "longitude",
        "date": "date",
        "image": "sentinel_image",
    }
    assert found.image_captions == {zoom: f"llava_caption_sentinel_zl{zoom}" for zoom in (1, 3, 5)}
    assert found.satellite == "sentinel"
    assert found.unused == {}
    assert len(found.needed()) == 13
    assert "bingmap_image" not in found.needed()


def test_soundingearths_columns() -> None:
    found = find_columns(SOUNDING_EARTH, Choice(), "SoundingEarth")
    assert found.satellite == "googleEarth"  # its only imagery need not be chosen
    assert (found.by_field["image"], found.by_field["date"]) == ("googleearth_image", "date_recorded")
    assert found.image_captions == {1: "llava_caption_googleearth_zl1"}
    assert "log_mels" not in found.by_field
    assert found.unused == {}


def test_what_is_not_chosen_is_not_read() -> None:
    found = find_columns(GEOSOUND, Choice("bingmap", image=False, audio=False), "GeoSound")
    assert not {"image", "audio", "log_mels"} & found.by_field.keys()
    assert set(found.image_captions) == {1, 3, 5}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(), "has images of bingmap, sentinel; to fix it, choose one of them with --satellite"),
        (Choice("googleEarth"), "has no images of googleEarth; it has those of bingmap, sentinel"),
    ],
)
def test_imagery_that_is_not_clear(choice: Choice, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        find_columns(GEOSOUND, choice, "GeoSound")


def test_plain_names_in_any_case_and_mistyped_ones() -> None:
    found = find_columns(["ID", "Image", "Lat", "lng", "audio_captoin", "weather"], Choice("aerial"), "mine")
    assert found.by_field == {"id": "ID", "image": "Image", "latitude": "Lat", "longitude": "lng"}
    assert found.satellite == "aerial"
    assert found.unused == {"audio_captoin": "audio_caption", "weather": ""}


def test_captions_of_our_own_making_are_found_whatever_their_prefix() -> None:
    names = ["id", "image", "qwen_caption_aerial_zl1", "qwen_caption_aerial_zl1_failure"]
    assert find_columns(names, Choice(), "mine").image_captions == {1: "qwen_caption_aerial_zl1"}


@pytest.mark.parametrize(
    "wrong", [{"satellite": "landsat"}, {"zoom_level": 0}, {"caption_sources": ("gpt",)}, {"caption_sources": ()}]
)
def test_choices_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="fix it"):
        Choice(**wrong)  # type: ignore[arg-type]
