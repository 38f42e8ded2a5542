"""The gRPC client for asyncio: the methods of `Sat2SoundClient`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar, Unpack

import numpy as np
import numpy.typing as npt

from sat2sound.clients import calls
from sat2sound.clients.access import Access
from sat2sound.clients.async_connection import AsyncConnection
from sat2sound.clients.batches import serve_async
from sat2sound.clients.calls import Call, Floats, ImageOptions
from sat2sound.clients.channel import DEFAULT_MAX_MESSAGE_BYTES
from sat2sound.clients.deadlines import DEFAULT_DEADLINE_SECONDS, Deadline
from sat2sound.clients.errors import DeadlineExceeded
from sat2sound.clients.inputs import File, PerItem
from sat2sound.clients.ranking import Ranking
from sat2sound.clients.retries import BRIEF, Patience

Result = TypeVar("Result")
DEFAULT_REQUESTS = 16


class AsyncSat2SoundClient:
    """As `Sat2SoundClient`, for one event loop; an async context manager that closes the connection.

    concurrency: requests that are on their way at a time, over all calls of this client; the others wait their turn,
    within their deadlines. A call that is cancelled, or one of whose requests fails, cancels its other requests.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: float = DEFAULT_DEADLINE_SECONDS,
        concurrency: int = DEFAULT_REQUESTS,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        access: Access | None = None,
        patience: Patience = BRIEF,
    ) -> None:
        self.deadline = deadline
        self.connection = AsyncConnection(url, max_message_bytes=max_message_bytes, access=access, patience=patience)
        self._slots = asyncio.Semaphore(concurrency)

    async def __aenter__(self) -> AsyncSat2SoundClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection: calls in flight are cancelled, calls after it fail."""
        await self.connection.close()

    async def embed_satellite(
        self, images: File | Sequence[File], *, deadline: float | None = None, **options: Unpack[ImageOptions]
    ) -> Floats:
        """See `Sat2SoundClient.embed_satellite`."""
        return await self._run(calls.embed_satellite(images, options), deadline)

    async def embed_pixels(
        self, pixels: npt.NDArray[np.uint8], conditions: Any, *, deadline: float | None = None
    ) -> Floats:
        """See `Sat2SoundClient.embed_pixels`."""
        return await self._run(calls.embed_pixels(pixels, conditions), deadline)

    async def embed_audio(
        self, recordings: File | Sequence[File], *, offset_seconds: PerItem[float] = None, deadline: float | None = None
    ) -> Floats:
        """See `Sat2SoundClient.embed_audio`."""
        return await self._run(calls.embed_audio(recordings, offset_seconds), deadline)

    async def embed_text(self, texts: str | Sequence[str], *, deadline: float | None = None) -> Floats:
        """See `Sat2SoundClient.embed_text`."""
        return await self._run(calls.embed_text(texts), deadline)

    async def retrieve_sounds(
        self,
        images: File | Sequence[File],
        *,
        top_k: int | None = None,
        deadline: float | None = None,
        **options: Unpack[ImageOptions],
    ) -> list[Ranking]:
        """See `Sat2SoundClient.retrieve_sounds`."""
        return await self._run(calls.retrieve_sounds(images, top_k, options), deadline)

    async def search_gallery(
        self, embedding: Floats, *, top_k: int | None = None, deadline: float | None = None
    ) -> list[Ranking]:
        """See `Sat2SoundClient.search_gallery`."""
        return await self._run(calls.search_gallery(embedding, top_k), deadline)

    async def score_queries(
        self,
        images: File | Sequence[File],
        queries: Floats,
        *,
        deadline: float | None = None,
        **options: Unpack[ImageOptions],
    ) -> Floats:
        """See `Sat2SoundClient.score_queries`."""
        return await self._run(calls.score_queries(images, queries, options), deadline)

    async def server_version(self, *, deadline: float | None = None) -> str:
        """See `Sat2SoundClient.server_version`."""
        return str((await self.connection.server_metadata(self._deadline(deadline))).version)

    def _deadline(self, seconds: float | None) -> Deadline:
        return Deadline(self.deadline if seconds is None else seconds)

    async def _run(self, call: Call[Result], deadline: float | None) -> Result:
        within = self._deadline(deadline)
        try:
            async with asyncio.timeout(within.remaining()):  # waiting for a slot counts, too
                outcome = await serve_async(self.connection, call.model, call.inputs, within, self._slots)
        except DeadlineExceeded:
            raise
        except TimeoutError:
            raise within.exceeded() from None
        return call.read(outcome)
