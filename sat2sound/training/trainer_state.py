"""Everything that a killed training needs to go on exactly where it was, in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sat2sound.atomic_files import replacing_file
from sat2sound.errors import CorruptCheckpoint, IncompatibleCheckpoint

FORMAT = "sat2sound-training"
_OPTIMIZER = "optimizer"


def save_training(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, **facts: str | int | float
) -> None:
    """Write parameters, buffers and optimizer state. facts: what else must survive (step, best score, recipe).

    The file is complete or absent (`replacing_file`), so that a full disk leaves the previous one.
    """
    tensors = {
        f"{part}.{name}": value.contiguous()
        for part, module in modules.items()
        for name, value in module.state_dict().items()
    }
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}.{index}.{name}": value for name, value in state.items()}
    with replacing_file(path) as partial:
        # Clones, because safetensors refuses tensors that share memory.
        safetensors.torch.save_file(
            {name: value.clone() for name, value in tensors.items()},
            str(partial),
            metadata={"format": FORMAT, "facts": json.dumps(facts)},
        )


def load_training(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> dict[str, str | int | float]:
    """Restore what `save_training` wrote, in place, and return its facts. Raises CheckpointError."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CorruptCheckpoint(path, f"not readable ({error})", fix="delete it and start again") from error
    if metadata.get("format") != FORMAT:
        raise IncompatibleCheckpoint(path, "not a training checkpoint", fix="give another --out, or delete the file")
    try:
        for part, module in modules.items():
            module.load_state_dict(_below(tensors, part))
    except RuntimeError as error:
        raise IncompatibleCheckpoint(path, str(error), fix="delete it: the configuration has changed") from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, _OPTIMIZER).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    facts: dict[str, str | int | float] = json.loads(metadata["facts"])
    return facts


def _below(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}
