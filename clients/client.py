"""The gRPC client: a Sat2Sound server's ensembles as methods."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar, Unpack

import numpy as np
import numpy.typing as npt

from sat2sound.clients import calls
from sat2sound.clients.access import Access
from sat2sound.clients.batches import DEFAULT_CONCURRENCY, serve
from sat2sound.clients.calls import Call, Floats, ImageOptions
from sat2sound.clients.channel import DEFAULT_MAX_MESSAGE_BYTES
from sat2sound.clients.connection import Connection
from sat2sound.clients.deadlines import DEFAULT_DEADLINE_SECONDS, Deadline
from sat2sound.clients.inputs import File, PerItem
from sat2sound.clients.ranking import Ranking
from sat2sound.clients.retries import BRIEF, Patience

Result = TypeVar("Result")


class Sat2SoundClient:
    """Talks to one server, or to all behind one name; a context manager that closes the connection.

    url: host:port of the gRPC endpoint; requests go round all addresses of the name. deadline: seconds that one method
    call may take in all, retries included, unless it is given its own. concurrency: requests of one call that are on
    their way at a time. max_message_bytes: the largest request or response. access: TLS and tokens (None: as the
    SAT2SOUND_... variables say, see `Access.from_environment`). patience: which failed requests are sent again
    (`sat2sound.clients.retries`). Thread-safe.

    Lists longer than the server's batch are split and reassembled in order. If items of a list are refused, the rest is
    served all the same, and InvalidItems carries both (`items`, `results`). All errors: `sat2sound.clients.errors`;
    InvalidInput for what can be seen to be wrong without a server.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: float = DEFAULT_DEADLINE_SECONDS,
        concurrency: int = DEFAULT_CONCURRENCY,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        access: Access | None = None,
        patience: Patience = BRIEF,
    ) -> None:
        self.deadline = deadline
        self.concurrency = concurrency
        self.connection = Connection(url, max_message_bytes=max_message_bytes, access=access, patience=patience)

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
        return self._run(calls.embed_satellite(images, options), deadline)

    def embed_pixels(self, pixels: npt.NDArray[np.uint8], conditions: Any, *, deadline: float | None = None) -> Floats:
        """Unit embeddings float32 [B, D] of prepared pixels uint8 [B, 224, 224, 3].

        conditions: `sat2sound.preprocessing.Conditions`, or float [7] in the order of contract.CONDITIONS (NaN =
        unknown): one for all, or one for each.
        """
        return self._run(calls.embed_pixels(pixels, conditions), deadline)

    def embed_audio(
        self, recordings: File | Sequence[File], *, offset_seconds: PerItem[float] = None, deadline: float | None = None
    ) -> Floats:
        """Unit embeddings float32 [B, D] of encoded recordings (bytes or paths): ten seconds from the offset on."""
        return self._run(calls.embed_audio(recordings, offset_seconds), deadline)

    def embed_text(self, texts: str | Sequence[str], *, deadline: float | None = None) -> Floats:
        """Unit embeddings float32 [B, D] of texts."""
        return self._run(calls.embed_text(texts), deadline)

    def retrieve_sounds(
        self,
        images: File | Sequence[File],
        *,
        top_k: int | None = None,
        deadline: float | None = None,
        **options: Unpack[ImageOptions],
    ) -> list[Ranking]:
        """One ranking of the gallery's sounds for each image. top_k: how many entries (default 10)."""
        return self._run(calls.retrieve_sounds(images, top_k, options), deadline)

    def search_gallery(
        self, embedding: Floats, *, top_k: int | None = None, deadline: float | None = None
    ) -> list[Ranking]:
        """One ranking of the gallery for each embedding float32 [B, D] (or [D]), of an image, a sound or a text."""
        return self._run(calls.search_gallery(embedding, top_k), deadline)

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
        return self._run(calls.score_queries(images, queries, options), deadline)

    def server_version(self, *, deadline: float | None = None) -> str:
        """The version of the Triton server, e.g. "2.51.0"."""
        return str(self.connection.server_metadata(self._deadline(deadline)).version)

    def _deadline(self, seconds: float | None) -> Deadline:
        return Deadline(self.deadline if seconds is None else seconds)

    def _run(self, call: Call[Result], deadline: float | None) -> Result:
        return call.read(serve(self.connection, call.model, call.inputs, self._deadline(deadline), self.concurrency))
