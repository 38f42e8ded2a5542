"""Which column holds what: the published names of GeoSound and SoundingEarth, and plain ones for one's own data."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sat2sound.data.choice import Choice
from sat2sound.errors import DatasetError

# Field -> accepted names, in this order, whatever their case. The first are the published ones.
NAMES: dict[str, tuple[str, ...]] = {
    "id": ("sample_id", "id"),
    "audio": ("audio",),
    "log_mels": ("mel_features",),
    "audio_caption": ("audio_caption",),
    "caption_source": ("audio_caption_source", "caption_source"),
    "audio_source": ("source", "audio_source"),
    "image_caption": ("image_caption",),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng"),
    "date": ("date", "date_recorded"),  # GeoSound, SoundingEarth
    "scene": ("scene",),
    "group": ("group",),
    "split": ("split",),
}
PLAIN_IMAGE = "image"
# Satellite type -> accepted names of its images.
IMAGERY: dict[str, tuple[str, ...]] = {
    "bingmap": ("bingmap_image",),
    "sentinel": ("sentinel_image",),
    "googleEarth": ("googleearth_image", "google_earth_image"),
}
# What GeoSound has besides; nothing here uses it, and no one mistyped it.
UNUSED = frozenset(
    [
        "short_id",
        "description",
        "tags",
        "title",
        "scientific_name",
        "common_name",
        "sound_format",
        "text",
        "address",
        "original_sampling_rate",
        "bin_id",
    ]
)
# llava_caption_bingmap_zl3; what `sat2sound caption --column-prefix` writes may begin with anything.
_IMAGE_CAPTION = re.compile(r"(?P<prefix>\w+?)_(?P<satellite>[a-z]+)_zl(?P<zoom_level>\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read, by field; a field that the dataset has not, or that was not chosen, is absent.

    image_captions: zoom level -> column. satellite: satellite type of the images; None if the column does not say.
    unused: columns that are not known, with the known name that was probably meant, or "".
    """

    by_field: Mapping[str, str]
    image_captions: Mapping[int, str] = field(default_factory=dict)
    satellite: str | None = None
    unused: Mapping[str, str] = field(default_factory=dict)

    def needed(self) -> list[str]:
        """All columns to read, each once."""
        return list(dict.fromkeys((*self.by_field.values(), *self.image_captions.values())))


def find_columns(names: Iterable[str], choice: Choice, dataset: object) -> Columns:
    """Match a dataset's columns with the fields. dataset: how messages call it.

    Raises DatasetError: images of several satellite types and none chosen, none of the chosen one, or neither images
    nor recordings nor captions at all.
    """
    own = {name.lower(): name for name in names}
    by_field = {
        what: next(own[name] for name in accepted if name in own)
        for what, accepted in NAMES.items()
        if any(name in own for name in accepted)
    }
    imagery = {kind: own[name] for kind, accepted in IMAGERY.items() for name in accepted if name in own}
    satellite, column = _imagery(own, imagery, choice, dataset)
    if column:
        by_field["image"] = column
    captions = image_caption_columns(own.values(), satellite)
    for what in ("image", "audio", "log_mels"):
        if not getattr(choice, what):
            by_field.pop(what, None)
    known = {name for accepted in (*NAMES.values(), *IMAGERY.values()) for name in accepted} | {PLAIN_IMAGE}
    unused = {
        name: next(iter(difflib.get_close_matches(lower, known, 1, 0.8)), "")
        for lower, name in own.items()
        if lower not in known | UNUSED and not _IMAGE_CAPTION.fullmatch(name)
    }
    return Columns(by_field, captions, satellite, unused)


def _imagery(
    own: Mapping[str, str], imagery: Mapping[str, str], choice: Choice, dataset: object
) -> tuple[str | None, str | None]:
    """Satellite type, if the columns say it or it was chosen, and the column of its images."""
    if not imagery:
        return choice.satellite, own.get(PLAIN_IMAGE)
    if choice.satellite is None:
        if len(imagery) > 1 and choice.image:
            raise DatasetError(
                f"{dataset} has images of {', '.join(imagery)}", fix="choose one of them with --satellite"
            )
        return next(iter(imagery.items())) if len(imagery) == 1 else (None, None)
    if choice.satellite not in imagery:
        raise DatasetError(
            f"{dataset} has no images of {choice.satellite}; it has those of {', '.join(imagery)}",
            fix="choose one of them with --satellite",
        )
    return choice.satellite, imagery[choice.satellite]


def image_caption_columns(names: Iterable[str], satellite: str | None) -> dict[int, str]:
    """Zoom level -> column, of the images' satellite type, or of whichever there is if that is not known."""
    found = [match for name in names if (match := _IMAGE_CAPTION.fullmatch(name))]
    kinds = {match["satellite"].lower() for match in found}
    kind = satellite.lower() if satellite else next(iter(kinds)) if len(kinds) == 1 else None
    return {int(match["zoom_level"]): match[0] for match in found if match["satellite"].lower() == kind}
