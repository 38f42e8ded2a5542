"""From the float32 graph that torch wrote to the precision that a profile asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sat2sound.errors import ConfigurationError
from sat2sound.export.gates import Precision
from sat2sound.export.precision.brain import to_bfloat16
from sat2sound.export.precision.half import to_float16
from sat2sound.export.precision.int8 import quantise
from sat2sound.export.precision.tensor_float import to_tf32

# Writes the graph of that name from the float32 file `source` to `destination`: (name, source, destination).
Converter = Callable[[str, Path, Path], None]

CONVERTERS: Mapping[Precision, Converter] = {
    "tf32": lambda name, source, destination: to_tf32(source, destination),
    "int8": lambda name, source, destination: _counted(name, quantise(source, destination)),
    "float16": lambda name, source, destination: to_float16(source, destination),
    "bfloat16": lambda name, source, destination: to_bfloat16(source, destination),
}
"""How each precision but float32 is made. A new one also needs its limits in gates/tolerances.py."""


def _counted(name: str, products: int) -> None:
    if not products:
        raise ConfigurationError(f"{name} has no matrix product that INT8 would make faster; leave it in float32")
