"""From the hyper-parameters of a published checkpoint to a model configuration."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sat2sound.configs import METADATA_PARTS, MetadataConfig, MetadataPart, ModelConfig, load_config
from sat2sound.errors import IncompatibleCheckpoint

# satellite type in the checkpoint -> the configuration without metadata
_BASES = {
    "bingmap": "bingmap",
    "sentinel": "sentinel",
    "googleEarth": "soundingearth",
    "SoundingEarth": "soundingearth",
}
_SATELLITE_KEYS = ("sat_type", "satellite_type")
_PART_NAMES: dict[str, MetadataPart] = {
    "audio_source": "audio_source",
    "asource": "audio_source",
    "caption_source": "caption_source",
    "tsource": "caption_source",
    "latlong": "location",
    "lat_long": "location",
    "location": "location",
    "month": "month",
    "time": "time",
    "hour": "time",
}
_PUBLISHED_NAMES: dict[MetadataPart, str] = {"location": "latlong"}  # where they differ from ours
_NO_METADATA = ("", "none", "false", "nometa")


def derive_config(path: Path, hyper_parameters: Any) -> ModelConfig:
    """The configuration that `sat_type` and `metadata_type` describe.

    path: named in errors. hyper_parameters: as Lightning saved them (dict or Namespace). metadata_type: the parts
    joined by "_" or ",", a list of them, or "none"; `use_meta`/`metadata` false means none. Raises
    IncompatibleCheckpoint naming the value that is not known.
    """
    flat = flatten(path, hyper_parameters)
    satellite = next((flat[key] for key in _SATELLITE_KEYS if key in flat), None)
    if not isinstance(satellite, str) or satellite not in _BASES:
        raise IncompatibleCheckpoint(
            path,
            f"hyper_parameters name the satellite type {_short(satellite)}",
            fix=f"use a checkpoint trained on one of {', '.join(_BASES)}",
        )
    parts = _metadata_parts(path, flat)
    base = load_config(f"{_BASES[satellite]}-nometa")
    suffix = "withmeta" if parts else "nometa"
    metadata = MetadataConfig(parts=parts) if parts else None
    return dataclasses.replace(base, name=f"{_BASES[satellite]}-{suffix}", metadata=metadata)


def flatten(path: Path, hyper_parameters: Any) -> dict[str, Any]:
    """A plain dict; a nested `hparams`, `args` or `cfg` is merged into the top level. Raises IncompatibleCheckpoint."""
    flat = _plain(hyper_parameters)
    if flat is None:
        raise IncompatibleCheckpoint(
            path,
            f"`hyper_parameters` is {_short(hyper_parameters)}, expected names and values",
            fix="use a checkpoint whose Lightning module called save_hyperparameters()",
        )
    for nested in ("hparams", "args", "cfg"):
        inner = _plain(flat.get(nested))
        if inner is not None:
            flat = {**inner, **{name: value for name, value in flat.items() if name != nested}}
    return flat


def _plain(value: Any) -> dict[str, Any] | None:
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    return {str(name): inner for name, inner in value.items()} if isinstance(value, Mapping) else None


def _short(value: Any) -> str:
    """A value from a file as it may stand in a message: tensors and huge strings are named, not printed."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return repr(value)[:80]
    return f"of type {type(value).__name__}"


def metadata_type(parts: Sequence[MetadataPart]) -> str:
    """The hyper-parameter of a published checkpoint with these parts: what `derive_config` reads back."""
    return "_".join(_PUBLISHED_NAMES.get(part, part) for part in parts) or "none"


def _metadata_parts(path: Path, flat: Mapping[str, Any]) -> tuple[MetadataPart, ...]:
    for switch in ("use_meta", "metadata"):
        value = flat.get(switch, True)
        if (
            value is None
            or (isinstance(value, int) and not value)
            or (isinstance(value, str) and value.lower() in _NO_METADATA)
        ):
            return ()
    given = flat.get("metadata_type")
    if given is None or (isinstance(given, str) and given.lower() in _NO_METADATA):
        return ()
    if isinstance(given, str) and len(given) <= 200:
        words = _split(given)
    elif isinstance(given, (list, tuple)) and all(isinstance(word, str) for word in given):
        words = list(given)
    else:
        words = [_short(given)]
    unknown = [word for word in words if word not in _PART_NAMES]
    if unknown:
        raise IncompatibleCheckpoint(
            path,
            f"hyper_parameters name unknown metadata: {', '.join(unknown)[:200]} (metadata_type)",
            fix=f"known parts are {', '.join(sorted(_PART_NAMES))}",
        )
    chosen = {_PART_NAMES[word] for word in words}
    return tuple(part for part in METADATA_PARTS if part in chosen)


def _split(joined: str) -> list[str]:
    """Parts of "audio_source_latlong_month" or "audio_source,latlong": the longest known name first."""
    words, rest = [], joined.replace(",", "_").strip("_")
    while rest:
        known = next((name for name in sorted(_PART_NAMES, key=len, reverse=True) if rest.startswith(name)), None)
        word = known or rest.split("_")[0]
        words.append(word)
        rest = rest.removeprefix(word).strip("_ ")
    return words
