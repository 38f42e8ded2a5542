"""Engine files that no GPU has built: bytes under the keys that real ones would have."""

from __future__ import annotations

from pathlib import Path

from sat2sound.export.tensorrt.device import Device
from sat2sound.export.tensorrt.placing import plan_engines
from sat2sound.export.tensorrt.store import EngineStore, StoredEngine

HOPPER, ADA = Device("9.0", "10.13.3.9", "NVIDIA H100"), Device("8.9", "10.13.3.9", "NVIDIA L4")


def stored(repository: Path, device: Device, folder: Path) -> dict[str, StoredEngine]:
    """Put them into the store `folder`, for each graph of a repository that `device` would run as an engine."""
    store = EngineStore(folder)
    return {
        name: store.get(key, name, device.name, lambda path, key=key: path.write_bytes(key.digest.encode()))[0]  # type: ignore[misc]
        for name, key in plan_engines(repository).keys(device).items()
    }
