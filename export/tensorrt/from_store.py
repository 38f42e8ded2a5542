"""Engines for a node that serves: taken from the store, never built; it starts at once, or says what it lacks."""

from __future__ import annotations

from pathlib import Path

from sat2sound.errors import Sat2SoundError
from sat2sound.export.tensorrt.device import Device
from sat2sound.export.tensorrt.placing import place_engines, plan_engines
from sat2sound.export.tensorrt.store import EngineStore, StoredEngine


class EnginesMissing(Sat2SoundError):
    """The store lacks engines of this repository for this device. graphs: whose."""

    def __init__(self, store: Path, device: Device, graphs: list[str]) -> None:
        self.graphs = tuple(graphs)
        where = f"{device.name} (compute capability {device.compute_capability}, TensorRT {device.tensorrt})"
        super().__init__(
            f"{store} has no engine of {', '.join(graphs)} for this repository on {where}; run "
            "`sat2sound engines build` with this store on such a node (in Kubernetes: the job sat2sound-build-engines)"
        )


def place_from_store(repository: Path, store: EngineStore, device: Device) -> list[StoredEngine]:
    """Put the store's engines for `device` into a repository, all of them or none. Returns them.

    They are not compared again: `build_engines` stores only what passed its comparison. Raises EnginesMissing,
    ConfigurationError, GateFailure; the repository then stays as it was.
    """
    found = {name: store.find(key) for name, key in plan_engines(repository).keys(device).items()}
    engines = {name: engine for name, engine in found.items() if engine is not None}
    if missing := sorted(found.keys() - engines.keys()):
        raise EnginesMissing(store.folder, device, missing)
    place_engines(repository, engines)
    return list(engines.values())
