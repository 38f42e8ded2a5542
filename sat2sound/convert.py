"""Published Lightning checkpoint to safetensors, and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from sat2sound import published
from sat2sound.atomic_files import replacing_file
from sat2sound.checkpoints import build, interpret_published, locate, read_safetensors, save_safetensors
from sat2sound.configs import ModelConfig
from sat2sound.errors import CheckpointError, CorruptCheckpoint, IncompatibleCheckpoint
from sat2sound.hyperparameters import derive_config, metadata_type
from sat2sound.pickles import load_lightning
from sat2sound.plain_json import from_json, to_json

_HYPER_PARAMETERS = "hyper_parameters"


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What `convert` wrote. not_kept: hyper-parameters that safetensors cannot hold, by place and type."""

    path: Path
    not_kept: tuple[str, ...] = ()


def convert(source: str | Path, destination: Path) -> Conversion:
    """Convert between .ckpt and .safetensors, by the suffixes.

    source: a file or hub name. The result holds the parameters that inference and training use, bit for bit, with the
    configuration and the hyper-parameters, so that converting there and back changes none of them. Left out: the
    constants that published files carry along, the state of optimizer and training loop, and `not_kept`. Raises
    CheckpointError, also for a model that has no published layout to be written in, such as the starter.
    """
    path = locate(source)
    kinds = (path.suffix, destination.suffix)
    if kinds == (".ckpt", ".safetensors"):
        return _write_safetensors(path, destination)
    if kinds == (".safetensors", ".ckpt"):
        return _write_published(path, destination)
    raise CheckpointError(
        path, f"cannot be converted to {destination.name}", fix="convert .ckpt to .safetensors or the other way"
    )


def _write_safetensors(path: Path, destination: Path) -> Conversion:
    checkpoint = load_lightning(path)
    config, state = interpret_published(path, checkpoint)
    build(path, config, dict(state))  # refuse now what could not be loaded later
    hyper_parameters, lost = to_json(checkpoint[_HYPER_PARAMETERS])
    save_safetensors(destination, config, state, hyper_parameters=hyper_parameters)
    return Conversion(destination, tuple(lost))


def _write_published(path: Path, destination: Path) -> Conversion:
    config, state = read_safetensors(path)
    hyper_parameters = _hyper_parameters(path, config)
    _check_published_layout(path, config, hyper_parameters)
    build(path, config, dict(state))
    tensors = {published.to_published(name): value for name, value in state.items()}
    with replacing_file(destination) as partial:
        torch.save({"state_dict": tensors, _HYPER_PARAMETERS: hyper_parameters}, partial)
    return Conversion(destination)


def _hyper_parameters(path: Path, config: ModelConfig) -> Any:
    """Those that the file was converted from, else those that describe its configuration."""
    with safe_open(str(path), framework="pt") as file:
        header = file.metadata() or {}
    if _HYPER_PARAMETERS in header:
        try:
            return from_json(header[_HYPER_PARAMETERS])
        except ValueError as error:
            raise CorruptCheckpoint(path, f"its hyper-parameters: {error}", fix="convert the .ckpt again") from error
    parts = config.metadata.parts if config.metadata else ()
    return {"sat_type": config.satellite.type, "metadata_type": metadata_type(parts)}


def _check_published_layout(path: Path, config: ModelConfig, hyper_parameters: Any) -> None:
    """Raise IncompatibleCheckpoint unless the loader will derive this very model from the hyper-parameters."""
    fix = "keep it as .safetensors: this library, its exporter and its server read it as it is"
    try:
        derived = derive_config(path, hyper_parameters)
    except IncompatibleCheckpoint as error:
        raise IncompatibleCheckpoint(path, f"has no published layout ({error.problem})", fix=fix) from error
    # neither the name nor where the frozen text encoder lies is part of the layout
    derived = dataclasses.replace(
        derived, name=config.name, text=dataclasses.replace(derived.text, encoder=config.text.encoder)
    )
    differing = [
        field.name
        for field in dataclasses.fields(config)
        if getattr(derived, field.name) != getattr(config, field.name)
    ]
    if differing:
        problem = f"has no published layout (its {', '.join(differing)} differ from all published models)"
        raise IncompatibleCheckpoint(path, problem, fix=fix)
