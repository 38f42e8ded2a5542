"""Bounds on what a caller may send, checked before anything is decoded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from sat2sound.errors import ConfigurationError, InvalidInput

MEBIBYTE = 1024 * 1024
LARGEST_MAX_IMAGE_PIXELS = 178_000_000  # Pillow itself refuses larger images


@dataclass(frozen=True)
class Limits:
    """What is accepted. Each field can be set by an environment variable, e.g. SAT2SOUND_MAX_IMAGE_PIXELS.

    max_encoded_bytes: of one encoded image or recording. max_image_pixels: width x height, read from the header.
    min_image_side: in pixels; below it nothing can be seen. max_audio_seconds, min_audio_seconds: length of the
    recording, of which 10 seconds are used. max_text_characters: of one text. Raises ConfigurationError for limits that
    are not positive or that contradict each other.
    """

    max_encoded_bytes: int = 32 * MEBIBYTE
    max_image_pixels: int = 64_000_000
    min_image_side: int = 16
    max_audio_seconds: float = 900.0
    min_audio_seconds: float = 0.05
    max_text_characters: int = 10_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"{_variable(field.name)}={value} is not a positive number; unset or mend it")
        if self.max_image_pixels > LARGEST_MAX_IMAGE_PIXELS:
            raise ConfigurationError(
                f"{_variable('max_image_pixels')}={self.max_image_pixels} is above {LARGEST_MAX_IMAGE_PIXELS}, "
                "the most that the image decoder takes; lower it"
            )
        if self.min_audio_seconds > self.max_audio_seconds:
            raise ConfigurationError(
                f"{_variable('min_audio_seconds')}={self.min_audio_seconds:g} is above "
                f"{_variable('max_audio_seconds')}={self.max_audio_seconds:g}; nothing would be accepted"
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Limits:
        """The defaults, overridden by the environment. Raises ConfigurationError naming the variable that is wrong."""
        values: dict[str, int | float] = {}
        for field in fields(cls):
            variable = _variable(field.name)
            if variable not in environ:
                continue
            kind = float if isinstance(field.default, float) else int
            try:
                values[field.name] = kind(environ[variable])
            except ValueError:
                raise ConfigurationError(
                    f"{variable}={environ[variable]!r} is not a positive number; unset or mend it"
                ) from None
        return cls(**values)  # type: ignore[arg-type]


def _variable(field: str) -> str:
    return f"SAT2SOUND_{field.upper()}"


def check_encoded_size(data: bytes, limits: Limits, what: str) -> None:
    """Refuse empty and oversized inputs before decoding. what: "image" or "recording"."""
    if not data:
        raise InvalidInput(f"the {what} is empty (0 bytes)", expected=f"an encoded {what}", fix="send the file's bytes")
    if len(data) > limits.max_encoded_bytes:
        raise InvalidInput(
            f"the encoded {what} has {len(data) / MEBIBYTE:.1f} MiB",
            expected=f"at most {limits.max_encoded_bytes / MEBIBYTE:.0f} MiB",
            fix=f"send a smaller {what}, or only the part of interest",
        )
