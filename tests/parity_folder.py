"""A folder of the parity layout (MODEL.md, parity vectors), and which of its expected numbers have been compared."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sat2sound.configs import METADATA_PARTS, MetadataPart

METADATA_PREFIX = "sat_encoder."
_PART = re.compile(r"^sat_encoder\.meta_fuser\.meta_embed\.(\w+)_fc\.")
_PUBLISHED_TYPES = ("bingmap", "sentinel", "googleEarth")


@dataclass(frozen=True)
class Check:
    """One compared quantity. difference: largest absolute (embeddings: relative to their largest magnitude).

    problem: why there is no difference to speak of, e.g. the shapes differ.
    """

    quantity: str
    difference: float
    tolerance: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Within tolerance; a NaN never is."""
        return not self.problem and self.difference <= self.tolerance


@dataclass(frozen=True)
class Quantity:
    """How one expected array is compared: what this library finds for it, given it; relative: to its largest entry."""

    tolerance: float
    find: Callable[[Any], Any]
    relative: bool = False

    def check(self, name: str, expected: Any) -> Check:
        """Compare. Whatever goes wrong is a failed check: the rest of the table is still wanted."""
        try:
            found, wanted = np.asarray(self.find(expected), np.float64), np.asarray(expected, np.float64)
        except Exception as error:
            return Check(name, math.nan, self.tolerance, f"{type(error).__name__}: {error}")
        if found.shape != wanted.shape:
            return Check(name, math.nan, self.tolerance, f"shape {found.shape}, expected {wanted.shape}")
        if not wanted.size:
            return Check(name, math.nan, self.tolerance, "the expected array is empty")
        largest = float(np.abs(wanted).max()) if self.relative else 1.0
        return Check(name, float(np.abs(found - wanted).max()) / (largest or 1.0), self.tolerance)


class ParityFolder:
    """manifest.json, expected.npz and the inputs. Raises OSError or ValueError for what is no such folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        with np.load(path / "expected.npz") as file:
            self.expected: dict[str, Any] = {name: file[name] for name in file.files}
        self.used: set[str] = set()
        self.without_numbers: list[str] = []

    @property
    def keys(self) -> list[dict[str, Any]]:
        """Name, shape and kind of each parameter."""
        keys: list[dict[str, Any]] = self.manifest.get("keys") or []
        return keys

    @cached_property
    def metadata_parts(self) -> tuple[MetadataPart, ...]:
        """The metadata parts that there are parameters for; none for a model without metadata."""
        found = {match[1] for key in self.keys if (match := _PART.match(key["name"]))}
        return tuple(part for part in METADATA_PARTS if part in found)

    @property
    def needs_models(self) -> bool:
        """Whether any image, recording or text is to be embedded."""
        return bool(self.manifest.get("satellite") or self.manifest.get("audio")) or "text_hidden" in self.expected

    @cached_property
    def satellite_type(self) -> str:
        """What the checkpoint says it was trained on: the type of the first image, as published models have one."""
        kinds = [entry_type(entry) for entry in self.manifest.get("satellite") or []]
        return next((kind for kind in kinds if kind in _PUBLISHED_TYPES), _PUBLISHED_TYPES[0])

    def given(self, key: str) -> Any:
        """An expected array that is an input of others. Raises KeyError where the folder lacks it."""
        self.used.add(key)
        return self.expected[key]

    def compare(self, prefix: str, quantities: dict[str, Quantity]) -> list[Check]:
        """Checks of the expected arrays `<prefix>_<name>` that the folder has, in the order of `quantities`."""
        checks = []
        for name, quantity in quantities.items():
            key = f"{prefix}_{name}"
            if key in self.expected:
                self.used.add(key)
                checks.append(quantity.check(key, self.expected[key]))
        return checks

    @property
    def not_compared(self) -> list[str]:
        """Expected arrays that nothing was compared with, and inputs that no number was expected for."""
        return [*(key for key in self.expected if key not in self.used), *self.without_numbers]


def entry_type(entry: dict[str, Any]) -> str:
    """The satellite type of a manifest entry; "SoundingEarth" is the dataset whose images are googleEarth's."""
    kind = str(entry["sat_type"])
    return "googleEarth" if kind == "SoundingEarth" else kind
