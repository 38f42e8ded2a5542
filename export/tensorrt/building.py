"""One ONNX file -> one engine, with polygraphy's loaders. Needs a GPU."""

from __future__ import annotations

from pathlib import Path

from sat2sound.errors import Sat2SoundError
from sat2sound.export.gates.tolerances import Precision
from sat2sound.export.tensorrt.device import import_tensorrt
from sat2sound.export.tensorrt.shapes import Shapes


class EngineBuildFailed(Sat2SoundError):
    """TensorRT does not build an engine from a graph; its own messages are on stderr."""


def build_engine(graph: Path, precision: Precision, shapes: Shapes, timing_cache: Path, destination: Path) -> None:
    """Write the engine to `destination`; what was measured is added to `timing_cache`.

    Strongly typed: data types are the graph's (TensorRT 11 knows no other way, TensorRT 10 is told). Products of
    float32 numbers are TF32 where that is the precision, and nowhere else. Raises TensorRTUnavailable,
    EngineBuildFailed.
    """
    import_tensorrt()
    from polygraphy.backend.trt import CreateConfig, EngineFromNetwork, NetworkFromOnnxPath, Profile, SaveEngine
    from polygraphy.exception import PolygraphyException

    profile = Profile()
    for name, (smallest, best, largest) in shapes.items():
        profile.add(name, min=smallest, opt=best, max=largest)
    cache = str(timing_cache)
    network = NetworkFromOnnxPath(str(graph), strongly_typed=True)
    config = CreateConfig(profiles=[profile], load_timing_cache=cache, tf32=precision == "tf32")
    try:
        SaveEngine(EngineFromNetwork(network, config, save_timing_cache=cache), str(destination))()
    except PolygraphyException as error:
        raise EngineBuildFailed(f"TensorRT builds no engine from {graph} ({error})") from error
