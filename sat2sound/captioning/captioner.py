"""What writes captions: a local model or an endpoint, behind one protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

# Asked of LLaVA-1.5 for the published captions, greedily, with this many new tokens at most (MODEL.md, training).
PROMPT = (
    "What types of sounds can we expect to hear from the location captured by this aerial view image? "
    "Describe in up to two sentences."
)
MAX_NEW_TOKENS = 77


@dataclass(frozen=True)
class Answer:
    """Exactly one of the two. caption: what the model wrote; failure: why there is none."""

    caption: str | None = None
    failure: str | None = None

    def __post_init__(self) -> None:
        if (self.caption is None) == (self.failure is None):
            raise ValueError("an answer is either a caption or a failure")


def answer_of(text: object) -> Answer:
    """A model's text as an answer: white space is joined; nothing at all is a failure."""
    if not isinstance(text, str):
        return Answer(failure=f"the model answered no text but {type(text).__name__}")
    joined = " ".join(text.split())
    try:
        joined.encode()
    except UnicodeEncodeError:
        return Answer(failure="the model's answer is not valid Unicode")
    return Answer(caption=joined) if joined else Answer(failure="the model answered nothing")


class Captioner(Protocol):
    """Writes captions for RGB images."""

    @property
    def name(self) -> str:
        """Which model writes, for the record."""

    @property
    def batch(self) -> int:
        """How many images to give at a time."""

    def caption(self, images: Sequence[Image.Image]) -> Iterator[tuple[int, Answer]]:
        """Index and answer of every image, as they become known. Raises CaptioningError if it cannot go on at all."""
