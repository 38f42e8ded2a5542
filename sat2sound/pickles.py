"""Lightning checkpoints are pickles: they are read with torch's restricted unpickler and a short allow-list."""

from __future__ import annotations

import argparse
import collections
import pathlib
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sat2sound.errors import CheckpointError, CorruptCheckpoint, IncompatibleCheckpoint, UnsafeCheckpoint

_SAVE_AGAIN = "give a Lightning checkpoint as the published Sat2Sound code writes it"

# What Lightning's `hyper_parameters` are made of, beside the builtins that torch allows anyway. None of these runs code
# from the file when it is rebuilt. AttributeDict is named by string: Lightning need not be installed to read a file.
SAFE_GLOBALS = (argparse.Namespace, collections.OrderedDict, pathlib.PosixPath, pathlib.PurePosixPath)


class _AttributeDict(dict[str, Any]):
    """Stands in for lightning.pytorch.utilities.parsing.AttributeDict, which is a plain dict with dotted access."""


_ATTRIBUTE_DICTS = (
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)


def load_lightning(path: Path) -> dict[str, Any]:
    """`state_dict` (str -> Tensor) and `hyper_parameters` (as saved) of a Lightning checkpoint.

    float32 tensors are memory-mapped where the file allows it (torch's format since 1.6). Raises CheckpointError:
    Unsafe... naming what the pickle asks for, Corrupt... or Incompatible.... Nothing that is not on
    the allow-list is imported or called.
    """
    checkpoint = _unpickle(path)
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= checkpoint.keys():
        found = sorted(map(str, checkpoint))[:8] if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise IncompatibleCheckpoint(
            path,
            f"no `state_dict` and `hyper_parameters` in it (found {str(found)[:200]})",
            fix="give a Lightning checkpoint of Sat2Sound, not bare weights or one of its backbones",
        )
    state = checkpoint["state_dict"]
    if not isinstance(state, dict):
        raise IncompatibleCheckpoint(
            path, f"`state_dict` is of type {type(state).__name__}, expected names and tensors", fix=_SAVE_AGAIN
        )
    odd = [str(name) for name, value in state.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if odd:
        raise IncompatibleCheckpoint(
            path,
            f"`state_dict` has {len(odd)} entries that are not a name with a tensor: {', '.join(odd[:8])[:200]}",
            fix=_SAVE_AGAIN,
        )
    if any(value.is_floating_point() and value.dtype != torch.float32 for value in state.values()):
        # Mapped pages stay in memory until the last tensor is gone. Half-precision tensors are converted one by one, so
        # that they are read apart from each other, and each is freed once its float32 copy is there.
        state = _unpickle(path, mapped=False)["state_dict"]
    return {"state_dict": dict(state), "hyper_parameters": checkpoint["hyper_parameters"]}


def first_line(error: BaseException) -> str:
    """The beginning of an error's message, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]


def _unpickle(path: Path, *, mapped: bool = True) -> Any:
    """Whatever is in the file, memory-mapped where it can be. Raises CheckpointError."""
    allowed: list[Any] = [*SAFE_GLOBALS, *((_AttributeDict, name) for name in _ATTRIBUTE_DICTS)]
    try:
        # Only zip files can be mapped; torch's format before 1.6 is one pickle after another.
        mapped = mapped and zipfile.is_zipfile(path)
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about storage classes in old files: nothing that a user could mend
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise _unpickling_problem(path, str(error)) from None
    except PermissionError as error:
        raise CheckpointError(path, f"cannot be read ({error})", fix="check its permissions") from error
    except Exception as error:  # damaged bytes make the unpickler and the zip reader raise anything
        raise CorruptCheckpoint(
            path,
            f"not a complete torch checkpoint ({first_line(error)})",
            fix="download or copy it again and compare sizes",
        ) from error


def _unpickling_problem(path: Path, message: str) -> CheckpointError:
    if "Unsupported global" in message or "GLOBAL" in message:
        wanted = next((line.strip() for line in message.splitlines() if "GLOBAL" in line), message.splitlines()[0])
        return UnsafeCheckpoint(
            path,
            f"the pickle asks for code that is not on the allow-list ({wanted[:200]}); nothing was executed",
            fix="use it only if you trust its source: have its owner save it again with plain hyper-parameters",
        )
    reason = next((line.strip() for line in message.splitlines() if "Unsupported" in line), message.splitlines()[0])
    return CorruptCheckpoint(path, f"not written by torch.save ({reason[:160]})", fix="download or copy it again")
