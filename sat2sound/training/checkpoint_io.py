"""Lightning's checkpoints as safetensors: what a killed training needs to go on, without a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sat2sound.atomic_files import replacing_file
from sat2sound.errors import CorruptCheckpoint, IncompatibleCheckpoint
from sat2sound.training.errors import CheckpointNotWritten

FORMAT = "sat2sound-training"
_TENSOR, _ITEMS, _TUPLE = "$tensor", "$items", "$tuple"


class SafetensorsCheckpointIO(CheckpointIO):
    """Nested dicts, lists, numbers, texts and tensors, in one file that is complete or absent."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Raises CheckpointNotWritten, and TypeError for what is none of these."""
        tensors: dict[str, Tensor] = {}
        tree = json.dumps(_encode(checkpoint, tensors))
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing_file(path) as partial:
                safetensors.torch.save_file(tensors, str(partial), metadata={"format": FORMAT, "tree": tree})
        except (OSError, SafetensorError) as error:
            raise CheckpointNotWritten(path, error) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """What `save_checkpoint` was given, on the CPU. Raises CheckpointError."""
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise IncompatibleCheckpoint(
                        path, "not a training checkpoint", fix="give another --out, or delete the file"
                    )
                tree: dict[str, Any] = _decode(json.loads(metadata["tree"]), file)
                return tree
        except IncompatibleCheckpoint:
            raise
        except Exception as error:  # a damaged header makes the reader raise more than its own SafetensorError
            raise CorruptCheckpoint(
                path, f"not readable ({str(error)[:160]})", fix="delete it and start again"
            ) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file, if it is there."""
        Path(path).unlink(missing_ok=True)


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A clone, because safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, dict):
        items = [[_encode(key, tensors), _encode(item, tensors)] for key, item in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key in value)
        return dict(items) if plain else {_ITEMS: items}
    if isinstance(value, (list, tuple)):
        items = [_encode(item, tensors) for item in value]
        return items if isinstance(value, list) else {_TUPLE: items}
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _decode(value: Any, file: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item, file) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        tensor: torch.Tensor = file.get_tensor(value[_TENSOR])
        return tensor
    if _TUPLE in value:
        return tuple(_decode(item, file) for item in value[_TUPLE])
    if _ITEMS in value:
        return {_decode(key, file): _decode(item, file) for key, item in value[_ITEMS]}
    return {key: _decode(item, file) for key, item in value.items()}
