"""Weights that a training begins with: some or all of a model's parameters from a file."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from sat2sound.errors import CorruptCheckpoint, IncompatibleCheckpoint
from sat2sound.models import Sat2Sound


def start(model: Sat2Sound, path: Path, ignored: tuple[str, ...] = ()) -> None:
    """Put the parameters of a safetensors file into a model; what the file lacks stays.

    ignored: beginnings of names that are not taken from the file. Raises CheckpointError.
    """
    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise CorruptCheckpoint(path, f"not a readable safetensors file ({error})", fix="give another file") from error
    tensors = {name: value for name, value in tensors.items() if not name.startswith(ignored)}
    own = model.state_dict()
    misfits = [name for name, value in tensors.items() if name not in own or own[name].shape != value.shape]
    if misfits:
        raise IncompatibleCheckpoint(
            path, f"parameters of another model: {', '.join(misfits)}", fix="start from weights of this configuration"
        )
    model.load_state_dict(tensors, strict=False)
