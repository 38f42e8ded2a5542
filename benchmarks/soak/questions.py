"""What is asked in a soak, and whether an answer is the expected one."""

from __future__ import annotations

import io
import itertools
import wave
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.serving.payloads import unknown_conditions
from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.clients.sample_scene import sample_scene
from sat2sound.contract import IMAGE_SIZE

SAME = 2e-5  # a request computes in float32 beside other ones: sums come in another order
_TEXTS = ("waves on a beach", "birds", "traffic")


@dataclass(frozen=True)
class Question:
    """name: of the client's method. ask: sends it; the answer is an array, or rankings."""

    name: str
    ask: Callable[[AsyncSat2SoundClient], Awaitable[Any]]


@dataclass(frozen=True)
class Expected:
    """numbers: of an array, or the scores of a ranking; words: the ids of a ranking, best first."""

    numbers: npt.NDArray[np.float32]
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, answer: Any) -> Expected:
        """What a client's method returned for one item."""
        if isinstance(answer, np.ndarray):
            return cls(answer)
        (ranking,) = answer
        scores = np.array([sound.score for sound in ranking], np.float32)
        return cls(scores, tuple(sound.id for sound in ranking))

    def same(self, other: Expected) -> bool:
        """Whether both are one answer, up to rounding; NaN is never the same."""
        return (
            self.words == other.words
            and self.numbers.shape == other.numbers.shape
            and bool((np.abs(self.numbers - other.numbers) <= SAME).all())
        )


def questions(gsd: float) -> list[Question]:
    """Every ensemble, in the order in which they are asked; gsd: metres per pixel that embed_pixels is told."""
    conditions = unknown_conditions().copy()
    conditions[0] = gsd
    recording = _recording()
    file = _jpeg(14)
    queries = np.random.default_rng(3).standard_normal((3, 256)).astype(np.float32)

    def of_pixels(number: int) -> Question:
        image = _scene(number)[np.newaxis, 16 : 16 + IMAGE_SIZE, 16 : 16 + IMAGE_SIZE]
        return Question("embed_pixels", lambda client: client.embed_pixels(image, conditions))

    def of_picture(number: int) -> Question:
        file = _jpeg(number)
        return Question("embed_satellite", lambda client: client.embed_satellite(file, month=1 + number % 12))

    def of_ranking(number: int) -> Question:
        file = _jpeg(number)
        return Question("retrieve_sounds", lambda client: client.retrieve_sounds(file, top_k=5))

    def of_text(text: str) -> Question:
        return Question("embed_text", lambda client: client.embed_text(text))

    asked = [of_pixels(number) for number in range(8)]
    asked += [of_picture(number) for number in range(8, 12)]
    asked += [of_text(text) for text in _TEXTS]
    asked += [of_ranking(number) for number in (12, 13)]
    asked.append(Question("score_queries", lambda client: client.score_queries(file, queries)))
    asked.append(Question("search_gallery", lambda client: client.search_gallery(queries[:1], top_k=5)))
    asked.append(Question("embed_audio", lambda client: client.embed_audio(recording)))
    return asked


async def expectations(client: AsyncSat2SoundClient, asked: Sequence[Question]) -> list[Expected]:
    """The answer to each question, asked alone.

    Raises ValueError if two have the same one: then an answer to somebody else's question would pass for the right one.
    """
    found = [Expected.of(await question.ask(client)) for question in asked]
    for (one, first), (other, second) in itertools.combinations(zip(asked, found, strict=True), 2):
        if first.same(second):
            raise ValueError(f"two questions ({one.name}, {other.name}) have the same answer")
    return found


def _scene(number: int) -> npt.NDArray[np.uint8]:
    """uint8 [256, 256, 3]: a drawn scene in a light of its own, so that even its mean colour is its own."""
    light = np.random.default_rng(number).uniform(0.3, 1.0, 3)
    return (sample_scene(number) * light).astype(np.uint8)


def _jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(_scene(number)).save(file, "jpeg", quality=90)
    return file.getvalue()


def _recording() -> bytes:
    """A WAV file: two seconds of a tone that rises."""
    seconds = np.arange(2 * 32_000) / 32_000
    samples = (8_000 * np.sin(2 * np.pi * (300 + 400 * seconds) * seconds)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(32_000)
        writer.writeframes(samples.tobytes())
    return file.getvalue()
