"""What an earlier build at the same place has that is still good."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

from sat2sound.digests import file_sha256
from sat2sound.errors import ConfigurationError
from sat2sound.export.gates import GateResult
from sat2sound.export.manifest import read_manifest
from sat2sound.export.references import FILE as REFERENCES
from sat2sound.export.references import References, read_references
from sat2sound.export.repository import VERSION

_GALLERY = f"gallery/{VERSION}/gallery.parquet"


class PreviousBuild:
    """The repository at `folder`, if there is one. Files are taken only if they are as its manifest says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest: dict[str, Any] = read_manifest(folder) or {}
        self.references = cache(self._references)

    def take(self, graph: str, key: str, destination: Path) -> bool:
        """Copy a graph, with its external data, if it was built under the same key."""
        if self._manifest.get("graphs", {}).get(graph, {}).get("key") != key:
            return False
        prefix = f"{graph}/{VERSION}/"
        files = self._manifest.get("files", {})
        names = [
            name for name in files if name.startswith(prefix) and not name.endswith(".plan")
        ]  # engines: from their store
        if f"{prefix}model.onnx" not in names or not all(map(self._intact, names)):
            return False
        destination.parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            own = name.removeprefix(prefix)
            shutil.copyfile(
                self._folder / name, destination.parent / (destination.name if own == "model.onnx" else own)
            )
        return True

    def take_gallery(self, key: str, destination: Path) -> bool:
        """Copy the gallery if it was made of the same captions by the same text branch."""
        if self._manifest.get("gallery", {}).get("key") != key or not self._intact(_GALLERY):
            return False
        shutil.copyfile(self._folder / _GALLERY, destination)
        return True

    def facts(self, graph: str) -> dict[str, Any]:
        """What the manifest says about a graph."""
        return dict(self._manifest["graphs"][graph])

    def results(self, graph: str) -> list[GateResult]:
        """The gates that a graph has passed."""
        return [
            GateResult(**{**entry, "problems": ()})
            for entry in self._manifest.get("gates", [])
            if entry["subject"] == graph
        ]

    def _references(self) -> References | None:
        if not self._intact(REFERENCES):
            return None
        try:
            return read_references(self._folder / REFERENCES)
        except ConfigurationError:
            return None

    def _intact(self, name: str) -> bool:
        path = self._folder / name
        return path.is_file() and file_sha256(path) == self._manifest.get("files", {}).get(name)
