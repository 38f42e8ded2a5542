"""What an engine was built of, and so where it may run: its key."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from sat2sound.digests import file_sha256
from sat2sound.errors import ConfigurationError
from sat2sound.export.gates.tolerances import Precision
from sat2sound.export.tensorrt.device import Device
from sat2sound.export.tensorrt.shapes import Shapes


@dataclass(frozen=True)
class EngineKey:
    """onnx: digest of the graph with its external data. shapes: canonical JSON of the optimisation profile. settings:
    how it is built (building.py): another way is another engine.
    """

    onnx: str
    compute_capability: str
    tensorrt: str
    shapes: str
    settings: str

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 over all of it: the engine's name in the store."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    @property
    def file(self) -> str:
        """The engine's name in a model repository."""
        return f"model.{self.digest[:16]}.plan"

    def to_json(self) -> dict[str, Any]:
        """As the store and the manifest keep it."""
        return dataclasses.asdict(self)


def engine_key(graph: Path, precision: Precision, shapes: Shapes, device: Device) -> EngineKey:
    """The key of the engine that `device` would build from an ONNX file. Raises ConfigurationError, OSError."""
    canonical = json.dumps({name: list(map(list, ranges)) for name, ranges in sorted(shapes.items())})
    settings = f"strongly typed, float32 {'in' if precision == 'tf32' else 'without'} TF32"
    return EngineKey(onnx_digest(graph), device.compute_capability, device.tensorrt, canonical, settings)


def onnx_digest(graph: Path) -> str:
    """Hexadecimal SHA-256 over an ONNX file and the files that hold its weights.

    Raises ConfigurationError for a file that is no ONNX or whose weights lie elsewhere than beside it; OSError.
    """
    try:
        model = onnx.load(str(graph), load_external_data=False)
    except Exception as error:  # protobuf and onnx raise several kinds
        raise ConfigurationError(f"{graph} is not a readable ONNX file ({type(error).__name__})") from error
    names = {ExternalDataInfo(tensor).location for tensor in model.graph.initializer if uses_external_data(tensor)}
    if strange := sorted(name for name in names if Path(name).name != name):
        raise ConfigurationError(f"{graph} keeps weights in {strange[0]!r}, which is not beside it")
    # The graph's own name does not count, the names of its weights do: they are in the graph.
    digests = [file_sha256(graph), *((name, file_sha256(graph.with_name(name))) for name in sorted(names))]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()
