"""Bounds on what a caller may send, checked before anything is decoded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from sat2sound.errors import ConfigurationError

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What is accepted. Each field can be set by an environment variable, e.g. SAT2SOUND_MAX_IMAGE_PIXELS.

    max_encoded_bytes: of one encoded image or recording. max_image_pixels: width x height, read from the header.
    min_image_side: in pixels; below it nothing can be seen. max_audio_seconds, min_audio_seconds: length of the
    recording, of which 10 seconds are used. max_text_characters: of one text.
    """

    max_encoded_bytes: int = 32 * MEBIBYTE
    max_image_pixels: int = 64_000_000
    min_image_side: int = 16
    max_audio_seconds: float = 900.0
    min_audio_seconds: float = 0.05
    max_text_characters: int = 10_000

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Limits:
        """The defaults, overridden by the environment. Raises ConfigurationError naming a variable that is no number."""
        values: dict[str, int | float] = {}
        for field in fields(cls):
            variable = f"SAT2SOUND_{field.name.upper()}"
            if variable not in environ:
                continue
            kind = float if isinstance(field.default, float) else int
            try:
                value = kind(environ[variable])
            except ValueError:
                value = kind(-1)
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"{variable}={environ[variable]!r} is not a positive number; unset or mend it")
            values[field.name] = value
        return cls(**values)  # type: ignore[arg-type]
