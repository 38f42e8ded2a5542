"""A folder of engines by key: what was built once is not built again, and nothing else is taken for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sat2sound.atomic_files import replacing_file
from sat2sound.digests import file_sha256
from sat2sound.errors import ConfigurationError
from sat2sound.export.tensorrt.keys import EngineKey


@dataclass(frozen=True)
class StoredEngine:
    """path: the engine. key: what it was built of. graph, device: for people. seconds: how long building took."""

    path: Path
    key: EngineKey
    graph: str
    device: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For `sat2sound engines list --json`."""
        return {
            "file": self.path.name,
            "bytes": self.path.stat().st_size,
            "key": self.key.to_json(),
            "graph": self.graph,
            "device": self.device,
            "seconds": self.seconds,
        }


class EngineStore:
    """<key>.plan with <key>.json beside it, which repeats the key's parts and the engine's SHA-256.

    An engine is taken only if both files are there and agree with the key that was asked for; anything else is built
    again and replaced. Several builders may share a folder: files appear whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: EngineKey) -> StoredEngine | None:
        """The undamaged engine of exactly this key, or None."""
        stored = self._read(self.folder / f"{key.digest}.json")
        return stored if stored and stored.key == key else None

    def get(self, key: EngineKey, graph: str, device: str, build: Callable[[Path], None]) -> tuple[StoredEngine, bool]:
        """The engine of this key, and whether it was there already. build: writes it to a path. Raises OSError."""
        if found := self.find(key):
            return found, True
        self.folder.mkdir(parents=True, exist_ok=True)
        plan, facts = (self.folder / f"{key.digest}.{kind}" for kind in ("plan", "json"))
        started = time.monotonic()
        with replacing_file(plan) as partial:
            build(partial)
        seconds = round(time.monotonic() - started, 1)
        known = {
            "key": key.to_json(),
            "sha256": file_sha256(plan),
            "graph": graph,
            "device": device,
            "seconds": seconds,
        }
        with replacing_file(facts) as partial:
            partial.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return StoredEngine(plan, key, graph, device, seconds), False

    def engines(self) -> Iterator[StoredEngine]:
        """All undamaged engines. Raises ConfigurationError if there is no such folder."""
        if not self.folder.is_dir():
            raise ConfigurationError(f"{self.folder} is no folder; `sat2sound engines build` makes one")
        for path in sorted(self.folder.glob("*.json")):
            if stored := self._read(path):
                yield stored

    def timing_cache(self, key: EngineKey) -> Path:
        """Where TensorRT keeps what it has measured: makes the next build on the same GPU and version shorter."""
        return self.folder / f"timing-{key.compute_capability}-{key.tensorrt}.cache"

    def _read(self, facts: Path) -> StoredEngine | None:
        plan = facts.with_suffix(".plan")
        try:
            known = json.loads(facts.read_text(encoding="utf-8"))
            key = EngineKey(**known["key"])
            if key.digest != facts.stem or file_sha256(plan) != known["sha256"]:
                return None
            return StoredEngine(plan, key, str(known["graph"]), str(known["device"]), float(known["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
