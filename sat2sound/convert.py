"""Published Lightning checkpoint to safetensors, and back: nothing is lost either way."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open

from sat2sound import published
from sat2sound.checkpoints import build, interpret_published, locate, read_safetensors, save_safetensors
from sat2sound.errors import CheckpointError
from sat2sound.hyperparameters import metadata_type
from sat2sound.pickles import load_lightning

_HYPER_PARAMETERS = "hyper_parameters"


def convert(source: str | Path, destination: Path) -> Path:
    """Convert between .ckpt and .safetensors, by the suffixes. Returns the destination.

    source: a file or hub name. The result holds the parameters that inference and training use, bit for bit, with the
    configuration and the hyper-parameters; constants that published files carry along are left out. Raises
    CheckpointError.
    """
    path = locate(source)
    kinds = (path.suffix, destination.suffix)
    if kinds == (".ckpt", ".safetensors"):
        checkpoint = load_lightning(path)
        config, state = interpret_published(path, checkpoint)
        build(path, config, dict(state))  # refuse now what could not be loaded later
        hyper_parameters = json.dumps(checkpoint[_HYPER_PARAMETERS], default=str)
        save_safetensors(destination, config, state, hyper_parameters=hyper_parameters)
    elif kinds == (".safetensors", ".ckpt"):
        _write_published(path, destination)
    else:
        raise CheckpointError(
            path, f"cannot be converted to {destination.name}", fix="convert .ckpt to .safetensors or the other way"
        )
    return destination


def _write_published(path: Path, destination: Path) -> None:
    config, state = read_safetensors(path)
    with safe_open(str(path), framework="pt") as file:
        header = file.metadata() or {}
    parts = config.metadata.parts if config.metadata else ()
    derived = {
        "sat_type": config.satellite.type,
        "metadata_type": metadata_type(parts),
    }
    hyper_parameters = json.loads(header[_HYPER_PARAMETERS]) if _HYPER_PARAMETERS in header else derived
    tensors = {published.to_published(name): value for name, value in state.items()}
    partial = destination.with_name(destination.name + ".partial")
    torch.save({"state_dict": tensors, _HYPER_PARAMETERS: hyper_parameters}, partial)
    partial.replace(destination)
