"""The gRPC client: a Sat2Sound server's ensembles as methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypedDict, TypeVar, Unpack

import numpy as np
import numpy.typing as npt

from sat2sound.clients.batches import Outcome, serve
from sat2sound.clients.connection import (
    DEFAULT_DEADLINE_SECONDS,
    DEFAULT_MAX_MESSAGE_BYTES,
    Connection,
    Deadline,
)
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


class Sat2SoundClient:
    """Talks to one server; a context manager that closes the connection.

    url: host:port of the gRPC endpoint. deadline: seconds that one method call may take in all, unless it is given its
    own. max_message_bytes: the largest request or response. Thread-safe.

    Lists longer than the server's batch are split and reassembled in order. If items of a list are refused, the rest is
    served all the same, and InvalidItems carries both (`items`, `results`). All errors: `sat2sound.clients.errors`;
    InvalidInput for what can be seen to be wrong without a server.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: float = DEFAULT_DEADLINE_SECONDS,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> None:
        self.deadline = deadline
        self.connection = Connection(url, max_message_bytes=max_message_bytes)

    def __enter__(self) -> Sat2SoundClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; calls after it fail."""
        self.connection.close()

    def embed_satellite(
        self, images: File | Sequence[File], *, deadline: float | None = None, **options: Unpack[ImageOptions]
    ) -> Floats:
        """Unit embeddings float32 [B, D] of encoded images (bytes or paths; one alone gives B = 1)."""
        return self._embed("embed_satellite", _image_inputs(images, options), deadline)

    def embed_pixels(self, pixels: npt.NDArray[np.uint8], conditions: Any, *, deadline: float | None = None) -> Floats:
        """Unit embeddings float32 [B, D] of prepared pixels uint8 [B, 224, 224, 3].

        conditions: `sat2sound.preprocessing.Conditions`, or float [7] in the order of contract.CONDITIONS (NaN =
        unknown): one for all, or one for each.
        """
        array = pixel_array(pixels)
        return self._embed("embed_pixels", {PIXELS.name: array, **condition_arrays(conditions, len(array))}, deadline)

    def embed_audio(
        self, recordings: File | Sequence[File], *, offset_seconds: PerItem[float] = None, deadline: float | None = None
    ) -> Floats:
        """Unit embeddings float32 [B, D] of encoded recordings (bytes or paths): ten seconds from the offset on."""
        inputs = {AUDIO.name: bytes_array(file_bytes(recordings))}
        if offset_seconds is not None:
            tensor = MODELS["embed_audio"].input("OFFSET_SECONDS")
            count = len(inputs[AUDIO.name])
            offsets = np.broadcast_to(column_of(tensor, offset_seconds), (count,)).reshape(count, 1)
            inputs[tensor.name] = np.ascontiguousarray(offsets)
        return self._embed("embed_audio", inputs, deadline)

    def embed_text(self, texts: str | Sequence[str], *, deadline: float | None = None) -> Floats:
        """Unit embeddings float32 [B, D] of texts."""
        many = [texts] if isinstance(texts, str) else list(texts)
        return self._embed("embed_text", {TEXT.name: bytes_array([text.encode() for text in many])}, deadline)

    def retrieve_sounds(
        self,
        images: File | Sequence[File],
        *,
        top_k: int | None = None,
        deadline: float | None = None,
        **options: Unpack[ImageOptions],
    ) -> list[Ranking]:
        """One ranking of the gallery's sounds for each image. top_k: how many entries (default 10)."""
        inputs = _image_inputs(images, options)
        return self._rank("retrieve_sounds", inputs, top_k, deadline)

    def search_gallery(
        self, embedding: Floats, *, top_k: int | None = None, deadline: float | None = None
    ) -> list[Ranking]:
        """One ranking of the gallery for each embedding float32 [B, D] (or [D]), of an image, a sound or a text."""
        array = embedding_array(embedding, "embeddings")
        return self._rank("search_gallery", {EMBEDDING.name: array}, top_k, deadline)

    def score_queries(
        self,
        images: File | Sequence[File],
        queries: Floats,
        *,
        deadline: float | None = None,
        **options: Unpack[ImageOptions],
    ) -> Floats:
        """Cosine similarities float32 [B, n] of each image and the query embeddings.

        queries: float32 [n, D] for all images, or [B, n, D].
        """
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
        outcome = serve(self.connection, "score_queries", {**inputs, QUERIES.name: array}, self._deadline(deadline))
        return _finish(_rows(outcome, "SCORES"), outcome)

    def server_version(self, *, deadline: float | None = None) -> str:
        """The version of the Triton server, e.g. "2.51.0"."""
        return str(self.connection.server_metadata(self._deadline(deadline)).version)

    def _deadline(self, seconds: float | None) -> Deadline:
        return Deadline(self.deadline if seconds is None else seconds)

    def _embed(self, model: str, inputs: Mapping[str, npt.NDArray[Any]], deadline: float | None) -> Floats:
        _check_not_empty(inputs)
        outcome = serve(self.connection, model, inputs, self._deadline(deadline))
        return _finish(_rows(outcome, EMBEDDING.name), outcome)

    def _rank(
        self, model: str, inputs: dict[str, npt.NDArray[Any]], top_k: int | None, deadline: float | None
    ) -> list[Ranking]:
        _check_not_empty(inputs)
        if top_k is not None:
            inputs[TOP_K.name] = np.full((len(next(iter(inputs.values()))), 1), column_of(TOP_K, top_k))
        outcome = serve(self.connection, model, inputs, self._deadline(deadline))
        served = [
            None if item is None else rankings({name: array[np.newaxis] for name, array in item.items()})[0]
            for item in outcome.items
        ]
        _finish(served, outcome)
        return [ranking for ranking in served if ranking is not None]


def _image_inputs(images: File | Sequence[File], options: ImageOptions) -> dict[str, npt.NDArray[Any]]:
    files = file_bytes(images)
    inputs = {IMAGE.name: bytes_array(files)}
    _check_not_empty(inputs)
    return {**inputs, **option_arrays(options, len(files))}


def _check_not_empty(inputs: Mapping[str, npt.NDArray[Any]]) -> None:
    if any(len(array) == 0 for array in inputs.values()):
        raise InvalidInput("the list is empty", expected="at least one item", fix="do not call without items")


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
