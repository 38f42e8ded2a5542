"""What each method of the clients asks and how its answer is read: the same for the blocking and the asyncio client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from sat2sound.clients.batches import Outcome
from sat2sound.clients.errors import InvalidItems
from sat2sound.clients.inputs import (
    File,
    PerItem,
    bytes_array,
    column_of,
    condition_arrays,
    embedding_array,
    file_bytes,
    option_arrays,
    pixel_array,
)
from sat2sound.clients.messages import Arrays
from sat2sound.clients.ranking import Ranking, rankings
from sat2sound.contract import AUDIO, EMBEDDING, IMAGE, MODELS, PIXELS, QUERIES, TEXT, TOP_K
from sat2sound.errors import InvalidInput

Floats = npt.NDArray[np.float32]
Result = TypeVar("Result")


class ImageOptions(TypedDict, total=False):
    """What may be said about images: one value for all, or a sequence with one for each (None = unknown).

    satellite: image source, e.g. "bingmap"; zoom_level: 1 to 10; gsd: metres per tile pixel, instead of these two.
    latitude, longitude: degrees. month: 1 to 12. hour: local, 0 to 23. audio_source, caption_source: dataset names.
    """

    satellite: PerItem[str]
    zoom_level: PerItem[int]
    gsd: PerItem[float]
    latitude: PerItem[float]
    longitude: PerItem[float]
    month: PerItem[int]
    hour: PerItem[int]
    audio_source: PerItem[str]
    caption_source: PerItem[str]


@dataclass(frozen=True)
class Call(Generic[Result]):
    """model: the ensemble. inputs: name -> array, items first. read: what the method returns, given all answers.

    Raises InvalidInput if there is no item.
    """

    model: str
    inputs: Arrays
    read: Callable[[Outcome], Result]

    def __post_init__(self) -> None:
        if any(len(array) == 0 for array in self.inputs.values()):
            raise InvalidInput("the list is empty", expected="at least one item", fix="do not call without items")


def embed_satellite(images: File | Sequence[File], options: ImageOptions) -> Call[Floats]:
    """See `Sat2SoundClient.embed_satellite`."""
    return Call("embed_satellite", _image_inputs(images, options), _embeddings)


def embed_pixels(pixels: npt.NDArray[np.uint8], conditions: Any) -> Call[Floats]:
    """See `Sat2SoundClient.embed_pixels`."""
    array = pixel_array(pixels)
    return Call("embed_pixels", {PIXELS.name: array, **condition_arrays(conditions, len(array))}, _embeddings)


def embed_audio(recordings: File | Sequence[File], offset_seconds: PerItem[float]) -> Call[Floats]:
    """See `Sat2SoundClient.embed_audio`."""
    inputs = {AUDIO.name: bytes_array(file_bytes(recordings))}
    if offset_seconds is not None:
        tensor = MODELS["embed_audio"].input("OFFSET_SECONDS")
        count = len(inputs[AUDIO.name])
        offsets = np.broadcast_to(column_of(tensor, offset_seconds), (count,)).reshape(count, 1)
        inputs[tensor.name] = np.ascontiguousarray(offsets)
    return Call("embed_audio", inputs, _embeddings)


def embed_text(texts: str | Sequence[str]) -> Call[Floats]:
    """See `Sat2SoundClient.embed_text`."""
    many = [texts] if isinstance(texts, str) else list(texts)
    return Call("embed_text", {TEXT.name: bytes_array([text.encode() for text in many])}, _embeddings)


def retrieve_sounds(images: File | Sequence[File], top_k: int | None, options: ImageOptions) -> Call[list[Ranking]]:
    """See `Sat2SoundClient.retrieve_sounds`."""
    return Call("retrieve_sounds", _with_top_k(_image_inputs(images, options), top_k), _rankings)


def search_gallery(embedding: Floats, top_k: int | None) -> Call[list[Ranking]]:
    """See `Sat2SoundClient.search_gallery`."""
    array = embedding_array(embedding, "embeddings")
    return Call("search_gallery", _with_top_k({EMBEDDING.name: array}, top_k), _rankings)


def score_queries(images: File | Sequence[File], queries: Floats, options: ImageOptions) -> Call[Floats]:
    """See `Sat2SoundClient.score_queries`."""
    inputs = _image_inputs(images, options)
    array = embedding_array(queries, "queries")
    count = len(inputs[IMAGE.name])
    if array.ndim == 2:
        array = np.broadcast_to(array, (count, *array.shape))
    if array.ndim != 3 or len(array) != count or array.shape[1] == 0:
        raise InvalidInput(
            f"queries are {list(np.shape(queries))} for {count} images",
            expected="[n, D] or [images, n, D] with n of at least 1",
            fix="stack the embeddings of embed_text or embed_audio",
        )
    return Call("score_queries", {**inputs, QUERIES.name: array}, _scores)


def _image_inputs(images: File | Sequence[File], options: ImageOptions) -> Arrays:
    files = file_bytes(images)
    if not files:
        raise InvalidInput("the list is empty", expected="at least one item", fix="do not call without items")
    return {IMAGE.name: bytes_array(files), **option_arrays(options, len(files))}


def _with_top_k(inputs: Mapping[str, npt.NDArray[Any]], top_k: int | None) -> Arrays:
    if top_k is None:
        return dict(inputs)
    return {**inputs, TOP_K.name: np.full((len(next(iter(inputs.values()))), 1), column_of(TOP_K, top_k))}


def _embeddings(outcome: Outcome) -> Floats:
    return _finish(_rows(outcome, EMBEDDING.name), outcome)


def _scores(outcome: Outcome) -> Floats:
    return _finish(_rows(outcome, "SCORES"), outcome)


def _rankings(outcome: Outcome) -> list[Ranking]:
    served = [
        None if item is None else rankings({name: array[np.newaxis] for name, array in item.items()})[0]
        for item in outcome.items
    ]
    _finish(served, outcome)
    return [ranking for ranking in served if ranking is not None]


def _rows(outcome: Outcome, name: str) -> Floats:
    """float32 [B, width] of one output, NaN rows where an item was refused."""
    width = max((item[name].shape[-1] for item in outcome.items if item is not None), default=0)
    table = np.full((len(outcome.items), width), np.nan, dtype=np.float32)
    for index, item in enumerate(outcome.items):
        if item is not None:
            table[index] = item[name]
    return table


def _finish(result: Result, outcome: Outcome) -> Result:
    if outcome.refused:
        raise InvalidItems(outcome.refused, result, len(outcome.items))
    return result
