"""From the hyper-parameters of a published checkpoint to a model configuration."""

from __future__ import annotations

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


def derive_config(path: Path, hyper_parameters: Mapping[str, Any]) -> ModelConfig:
    """The configuration that `sat_type` and `metadata_type` describe.

    metadata_type: the parts joined by "_" or ",", a list of them, or "none"; `use_meta`/`metadata` false means none.
    Raises IncompatibleCheckpoint naming the value that is not known.
    """
    satellite = next((str(hyper_parameters[key]) for key in _SATELLITE_KEYS if key in hyper_parameters), None)
    if satellite is None or satellite not in _BASES:
        raise IncompatibleCheckpoint(
            path,
            f"hyper_parameters name the satellite type {satellite!r}",
            fix=f"use a checkpoint trained on one of {', '.join(_BASES)}",
        )
    parts = _metadata_parts(path, hyper_parameters)
    base = load_config(f"{_BASES[satellite]}-nometa")
    suffix = "withmeta" if parts else "nometa"
    metadata = MetadataConfig(parts=parts) if parts else None
    return dataclasses.replace(base, name=f"{_BASES[satellite]}-{suffix}", metadata=metadata)


def metadata_type(parts: Sequence[MetadataPart]) -> str:
    """The hyper-parameter of a published checkpoint with these parts: what `derive_config` reads back."""
    return "_".join(_PUBLISHED_NAMES.get(part, part) for part in parts) or "none"


def _metadata_parts(path: Path, hyper_parameters: Mapping[str, Any]) -> tuple[MetadataPart, ...]:
    for switch in ("use_meta", "metadata"):
        if hyper_parameters.get(switch) in (False, None, "False", "false", "none") and switch in hyper_parameters:
            return ()
    given = hyper_parameters.get("metadata_type", "none")
    if isinstance(given, str):
        if given.lower() in _NO_METADATA:
            return ()
        words = _split(given)
    else:
        words = [str(word) for word in given or ()]
    unknown = [word for word in words if word not in _PART_NAMES]
    if unknown:
        raise IncompatibleCheckpoint(
            path,
            f"hyper_parameters name metadata {', '.join(map(repr, unknown))} (metadata_type = {given!r})",
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
