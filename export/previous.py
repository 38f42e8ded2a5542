"""What an earlier build at the same place has that is still good."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

from sat2sound.digests import file_sha256
from sat2sound.errors import ConfigurationError
from sat2sound.export.gates import GRAPH_GATES, GateResult
from sat2sound.export.manifest import read_manifest
from sat2sound.export.passed import GALLERY, graph_files, has_passed
from sat2sound.export.references import FILE as REFERENCES
from sat2sound.export.references import References, read_references
from sat2sound.export.repository import VERSION


class PreviousBuild:
    """The repository at `folder`, if there is one. Files are taken only if they are those that passed the gates: a
    changed one would otherwise pass as reused, its manifest rewritten.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest: dict[str, Any] = read_manifest(folder) or {}
        self.references = cache(self._references)

    def take(self, graph: str, key: str, destination: Path) -> bool:
        """Copy a graph, with its external data, if it was built under the same key."""
        if self._manifest.get("graphs", {}).get(graph, {}).get("key") != key:
            return False
        if not has_passed(self._folder, [graph]):
            return False
        files = graph_files(graph, self._folder / graph / VERSION / "model.onnx")
        destination.parent.mkdir(parents=True, exist_ok=True)
        for kind, path in files.items():  # engines: from their store
            shutil.copyfile(path, destination if kind == "graph" else destination.with_name(path.name))
        return True

    def take_gallery(self, key: str, destination: Path) -> bool:
        """Copy the gallery if it was made of the same captions by the same text branch."""
        if self._manifest.get("gallery", {}).get("key") != key or not has_passed(self._folder, ["gallery"]):
            return False
        shutil.copyfile(self._folder / GALLERY, destination)
        return True

    def facts(self, graph: str) -> dict[str, Any]:
        """What the manifest says about a graph."""
        return dict(self._manifest["graphs"][graph])

    def results(self, graph: str) -> list[GateResult]:
        """The gates on its own that a graph has passed; the others are run again in every build."""
        return [
            GateResult(**{**entry, "problems": ()})
            for entry in self._manifest.get("gates", [])
            if entry["subject"] == graph and entry["gate"] in GRAPH_GATES
        ]

    def _references(self) -> References | None:
        path = self._folder / REFERENCES
        try:
            if file_sha256(path) != self._manifest.get("files", {}).get(REFERENCES):
                return None
            return read_references(path)
        except (ConfigurationError, OSError):
            return None
