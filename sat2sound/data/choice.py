"""What to take of a dataset that has several of a kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.metadata import CAPTION_SOURCES, check_zoom_level
from sat2sound.satellite_types import satellite_type


@dataclass(frozen=True)
class Choice:
    """satellite: whose imagery, by satellite type; None if the dataset has only one. zoom_level: which of the image
    captions is `Sample.image_caption`. caption_sources: audio captions of other sources count as missing; None takes
    all. image, audio, log_mels: whether that column is read at all: they are nearly all of a dataset's bytes. captions:
    a file of image captions, which take the place of the dataset's own. Raises InvalidInput.
    """

    satellite: str | None = None
    zoom_level: int = 1
    caption_sources: tuple[str, ...] | None = None
    image: bool = True
    audio: bool = True
    log_mels: bool = False
    captions: Path | None = None

    def __post_init__(self) -> None:
        check_zoom_level(self.zoom_level)
        if self.satellite is not None:
            satellite_type(self.satellite)
        unknown = sorted(set(self.caption_sources or ()) - set(CAPTION_SOURCES))
        if unknown or self.caption_sources == ():
            raise InvalidInput(
                f"caption sources are {', '.join(unknown) or 'none'}",
                expected=f"some of {', '.join(CAPTION_SOURCES)}",
                fix="leave the choice out to take all",
            )
