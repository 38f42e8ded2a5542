"""Reference inputs with what torch computes for them: made from a checkpoint, kept in the built repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sat2sound.errors import ConfigurationError

Arrays = Mapping[str, np.ndarray]
FILE = "references.safetensors"
_INDEX = "index"
_UNREADABLE = (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Case:
    """One batch for one graph. name: what is special about it. inputs, outputs: arrays by tensor name, batch first."""

    name: str
    inputs: Arrays
    outputs: Arrays

    @property
    def batch(self) -> int:
        """Number of items."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class References:
    """graphs: cases by graph. queries: by branch ("satellite", "audio", "text"), a batch with encoder inputs and
    torch's EMBEDDING, for the retrieval gate. digests: of each graph's files, the gallery and the tokenizer when they
    passed their gates (passed.py), since some changes of weights are too small to show in numbers (and the scale of a
    codebook vanishes in the unit length).
    """

    graphs: Mapping[str, tuple[Case, ...]]
    queries: Mapping[str, Case]
    digests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def only(self, graphs: set[str], branches: set[str]) -> References:
        """A part of it."""
        return References(
            {name: cases for name, cases in self.graphs.items() if name in graphs},
            {name: case for name, case in self.queries.items() if name in branches},
        )

    def joined(self, other: References) -> References:
        """With another part; where both have something, the other's."""
        return References(
            {**self.graphs, **other.graphs},
            {**self.queries, **other.queries},
            {**self.digests, **other.digests},
        )


def write_references(path: Path, references: References) -> None:
    """One safetensors file, the same bytes for the same content; equal arrays (tokens between graphs) are kept once."""
    arrays: dict[str, np.ndarray] = {}

    def keep(values: Arrays) -> dict[str, str]:
        keys = {}
        for name, array in sorted(values.items()):
            whole = np.ascontiguousarray(array)
            head = f"{whole.dtype.str}{whole.shape}".encode()
            keys[name] = hashlib.sha256(head + whole.tobytes()).hexdigest()[:32]
            arrays[keys[name]] = whole
        return keys

    def entry(case: Case) -> dict[str, object]:
        return {"name": case.name, "inputs": keep(case.inputs), "outputs": keep(case.outputs)}

    index = {
        "graphs": {name: [entry(case) for case in cases] for name, cases in sorted(references.graphs.items())},
        "queries": {name: entry(case) for name, case in sorted(references.queries.items())},
        "digests": {name: dict(found) for name, found in sorted(references.digests.items())},
    }
    save_file(dict(sorted(arrays.items())), path, metadata={_INDEX: json.dumps(index, sort_keys=True)})


def read_references(path: Path) -> References:
    """The inverse of `write_references`. Raises ConfigurationError for a file that is not one."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            index = _index(file)
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)

        def case(entry: dict[str, dict[str, str]]) -> Case:
            sides = ({name: arrays[key] for name, key in entry[side].items()} for side in ("inputs", "outputs"))
            return Case(str(entry["name"]), *sides)

        return References(
            {name: tuple(case(entry) for entry in entries) for name, entries in index["graphs"].items()},
            {name: case(entry) for name, entry in index["queries"].items()},
            _digests(index),
        )
    except _UNREADABLE as error:
        raise ConfigurationError(f"{path} holds no reference inputs and outputs ({error!r})") from error


def read_digests(path: Path) -> dict[str, dict[str, str]]:
    """`References.digests` of a file, without reading its arrays; empty for a file that holds none."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            return _digests(_index(file))
    except _UNREADABLE:
        return {}


def _index(file: Any) -> dict[str, Any]:
    return dict(json.loads((file.metadata() or {})[_INDEX]))


def _digests(index: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {str(subject): dict(found) for subject, found in index["digests"].items()}
