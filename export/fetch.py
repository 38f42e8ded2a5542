"""Bring a built repository from where it is stored to where Triton reads it, and refuse any other content.

Free of torch and Triton's client: the serving container's init step runs it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from sat2sound.errors import ConfigurationError
from sat2sound.export.folders import replacing
from sat2sound.export.manifest import MANIFEST, file_digests, read_manifest, repository_digest

_PIECE = 4 * 1024 * 1024
_MANIFEST_BYTES = 16 * 1024 * 1024
Progress = Callable[[str], None]


class FetchRefused(ConfigurationError):
    """The stored repository is absent, incomplete or not the one that was asked for."""

    def __init__(self, source: str, problem: str, *, fix: str) -> None:
        super().__init__(f"{source}: {problem}. {fix}")


def fetch_repository(source: str, digest: str, destination: Path, *, progress: Progress = lambda line: None) -> Path:
    """Copy the repository at `source` to `destination`, file by file against the digests of its manifest.

    source: a folder or an fsspec address (file://, s3://, gs://, https://). digest: SHA-256 (hexadecimal) of the whole
    content, as `sat2sound export` prints it. Nothing is copied if the destination holds that content already. Returns
    the destination. Raises FetchRefused; the destination then stays as it was.
    """
    have = read_manifest(destination)
    if have and have.get("digest") == digest and repository_digest(file_digests(destination)) == digest:
        progress(f"{destination} holds {digest[:12]} already")
        return destination
    store, root = _open(source)
    files = _listed(store, root, source, digest)
    with replacing(destination) as folder:
        for place, (name, expected) in enumerate(files.items(), 1):
            progress(f"{name} ({place} of {len(files)})")
            _copy(store, f"{root}/{name}", folder / name, expected, source)
        (folder / MANIFEST).write_bytes(_read_manifest_bytes(store, root, source))
    return destination


def _open(source: str) -> tuple[Any, str]:
    try:
        store, root = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        fix = "Give a folder, file://, s3:// (package s3fs) or gs:// (package gcsfs) address"
        raise FetchRefused(source, str(error).rstrip("."), fix=fix) from error
    return store, str(root).rstrip("/")


def _read_manifest_bytes(store: Any, root: str, source: str) -> bytes:
    try:
        with store.open(f"{root}/{MANIFEST}", "rb") as file:
            return bytes(file.read(_MANIFEST_BYTES))
    except OSError as error:
        fix = "Publish a built repository there, or correct the address and the credentials"
        raise FetchRefused(source, f"{MANIFEST} cannot be read ({error})", fix=fix) from error


def _listed(store: Any, root: str, source: str, digest: str) -> dict[str, str]:
    try:
        files = json.loads(_read_manifest_bytes(store, root, source))["files"]
        names = {str(name): str(sha256) for name, sha256 in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchRefused(source, f"{MANIFEST} is not a repository's manifest", fix="Export it again") from error
    found = repository_digest(names)
    if found != digest:
        fix = "Set the digest of the repository that you mean; `sat2sound export` prints it"
        raise FetchRefused(source, f"its digest is {found}, asked for was {digest or 'none'}", fix=fix)
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise FetchRefused(source, f"{MANIFEST} names the path {name!r}", fix="Do not use this repository")
    return names


def _copy(store: Any, address: str, target: Path, expected: str, source: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256 = hashlib.sha256()
    try:
        with store.open(address, "rb") as stored, target.open("wb") as file:
            while piece := stored.read(_PIECE):
                sha256.update(piece)
                file.write(piece)
    except FileNotFoundError as error:
        raise FetchRefused(source, f"{address} is missing", fix="Publish the repository again") from error
    if sha256.hexdigest() != expected:
        fix = "It was damaged or changed after the export: publish the repository again"
        raise FetchRefused(source, f"{address} does not have the digest of the manifest", fix=fix)
