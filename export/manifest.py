"""What a built repository says of itself: manifest.json, with the digest of every file and one for all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sat2sound
from sat2sound.digests import file_sha256

MANIFEST = "manifest.json"


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by relative path."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST and "__pycache__" not in path.parts:
            digests[path.relative_to(folder).as_posix()] = file_sha256(path)
    return digests


def repository_digest(files: Mapping[str, str]) -> str:
    """One SHA-256 for the content of a whole repository. files: as `file_digests` gives them."""
    return hashlib.sha256(json.dumps(dict(sorted(files.items())), separators=(",", ":")).encode()).hexdigest()


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """manifest.json: the facts, this package's version, the digest of every file and of all files together."""
    files = file_digests(folder)
    manifest = {**facts, "sat2sound": sat2sound.__version__, "digest": repository_digest(files), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a built repository, or None if there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None
