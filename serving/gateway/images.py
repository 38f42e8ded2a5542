"""Images by reference: from allow-listed stores only, bounded in size and time, never from private addresses."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx

from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.serving.gateway.addresses import public_address
from sat2sound.serving.gateway.refusals import FetchError

_SCHEMES = ("https", "http", "file")


class ImageStores:
    """Reads references that begin with one of the prefixes.

    prefixes: https://host/path/ or file:///folder/; "s3://bucket" is reached through its https address. seconds: for
    one fetch in all. max_bytes: of one image.
    """

    def __init__(
        self, prefixes: tuple[str, ...], *, seconds: float, max_bytes: int, allow_private: bool = False
    ) -> None:
        for prefix in prefixes:
            if urlsplit(prefix).scheme not in _SCHEMES:
                raise ConfigurationError(f"the image store {prefix!r} must begin with https://, http:// or file://")
        # A prefix ends at a path segment: https://host/images must not admit https://host/images-of-others.
        self._prefixes = tuple(prefix.rstrip("/") + "/" for prefix in prefixes)
        self._seconds, self._max_bytes, self._allow_private = seconds, max_bytes, allow_private

    async def read(self, reference: str) -> bytes:
        """The bytes behind a reference. Raises InvalidInput for one that is not allowed, FetchError if it fails."""
        self._check(reference)
        try:
            async with asyncio.timeout(self._seconds):
                if reference.startswith("file://"):
                    return await asyncio.to_thread(self._read_file, reference)
                return await self._read_http(reference)
        except TimeoutError:
            raise FetchError(f"{reference} did not arrive within {self._seconds:g} seconds") from None

    def _check(self, reference: str) -> None:
        parts = urlsplit(reference)
        plain = unquote(parts.path)
        # A browser or server may fold "..", so that the address would leave the prefix that it begins with.
        tidy = ".." not in PurePosixPath(plain).parts and "\\" not in plain and not parts.username
        if not tidy or not any(reference.startswith(prefix) for prefix in self._prefixes):
            raise InvalidInput(
                f"the image reference {reference[:200]!r} is not in an allowed store",
                expected=" or ".join(self._prefixes) or "no references: this gateway has no image stores",
                fix="put the image there, or send its bytes as base64",
            )

    def _read_file(self, reference: str) -> bytes:
        path = Path(unquote(urlsplit(reference).path)).resolve()
        roots = [Path(unquote(urlsplit(prefix).path)).resolve() for prefix in self._prefixes if prefix[:4] == "file"]
        if not any(path.is_relative_to(root) for root in roots):  # by a symbolic link
            raise FetchError(f"{reference} leads out of its store")
        try:
            with path.open("rb") as file:
                data = file.read(self._max_bytes + 1)
        except OSError as error:
            raise FetchError(f"{reference} cannot be read: {error.strerror}") from None
        self._check_size(len(data), reference)
        return data

    async def _read_http(self, reference: str) -> bytes:
        address = await asyncio.to_thread(public_address, reference, allow_private=self._allow_private)
        url = httpx.URL(reference)
        # Connected to the address that was judged: asked again, the name could point elsewhere.
        pinned = url.copy_with(host=address)
        headers = {"Host": url.netloc.decode(), "Accept": "image/*", "User-Agent": "sat2sound"}
        try:
            async with (
                httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=self._seconds) as client,
                client.stream("GET", pinned, headers=headers, extensions={"sni_hostname": url.host}) as answer,
            ):
                if answer.status_code != 200:
                    raise FetchError(f"{reference}: the store answered HTTP {answer.status_code}")
                data = bytearray()
                async for piece in answer.aiter_bytes():
                    data += piece
                    self._check_size(len(data), reference)
                return bytes(data)
        except httpx.HTTPError as error:
            raise FetchError(f"{reference} cannot be fetched: {error or type(error).__name__}") from None

    def _check_size(self, size: int, reference: str) -> None:
        if size > self._max_bytes:
            raise FetchError(f"{reference} is larger than {self._max_bytes:,} bytes")
