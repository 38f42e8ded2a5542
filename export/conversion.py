"""From the float32 graph that torch wrote to the precision that a profile asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sat2sound.export.gates import Precision

# Writes the graph of that name from the float32 file `source` to `destination`: (name, source, destination).
Converter = Callable[[str, Path, Path], None]

CONVERTERS: Mapping[Precision, Converter] = {}
"""How each precision but float32 is made. A new one also needs its limits in gates/tolerances.py."""
