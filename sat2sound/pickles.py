"""Lightning checkpoints are pickles: they are read with torch's restricted unpickler and a short allow-list."""

from __future__ import annotations

import argparse
import collections
import pathlib
import pickle
from pathlib import Path
from typing import Any

import torch

from sat2sound.errors import CorruptCheckpoint, IncompatibleCheckpoint, UnsafeCheckpoint

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
    """`state_dict` and `hyper_parameters` (a plain dict) of a Lightning checkpoint, tensors memory-mapped.

    Raises UnsafeCheckpoint naming what the pickle asks for, CorruptCheckpoint or IncompatibleCheckpoint. Nothing that
    is not on the allow-list is imported or called.
    """
    allowed: list[Any] = [*SAFE_GLOBALS, *((_AttributeDict, name) for name in _ATTRIBUTE_DICTS)]
    try:
        with torch.serialization.safe_globals(allowed):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise _unpickling_problem(path, str(error)) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise CorruptCheckpoint(
            path,
            f"not a complete torch checkpoint ({str(error).splitlines()[0][:160]})",
            fix="download or copy it again and compare sizes",
        ) from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= checkpoint.keys():
        found = sorted(map(str, checkpoint))[:8] if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise IncompatibleCheckpoint(
            path,
            f"no `state_dict` and `hyper_parameters` in it (found {found})",
            fix="give a Lightning checkpoint of Sat2Sound, not bare weights or one of its backbones",
        )
    hyper_parameters = checkpoint["hyper_parameters"]
    if isinstance(hyper_parameters, argparse.Namespace):
        hyper_parameters = vars(hyper_parameters)
    return {"state_dict": checkpoint["state_dict"], "hyper_parameters": flatten(hyper_parameters)}


def flatten(hyper_parameters: Any) -> dict[str, Any]:
    """A plain dict; a nested `hparams`, `args` or `cfg` namespace is merged into the top level."""
    flat: dict[str, Any] = dict(hyper_parameters)
    for nested in ("hparams", "args", "cfg"):
        inner = flat.pop(nested, None)
        if isinstance(inner, argparse.Namespace):
            inner = vars(inner)
        if isinstance(inner, dict):
            flat = {**inner, **flat}
    return flat


def _unpickling_problem(path: Path, message: str) -> Exception:
    if "Unsupported global" in message or "GLOBAL" in message or "Unsupported operand" in message:
        wanted = next((line.strip() for line in message.splitlines() if "GLOBAL" in line), message.splitlines()[0])
        return UnsafeCheckpoint(
            path,
            f"the pickle asks for code that is not on the allow-list ({wanted[:200]}); nothing was executed",
            fix="use it only if you trust its source: have its owner save it again with plain hyper-parameters",
        )
    return CorruptCheckpoint(
        path, f"not a torch checkpoint ({message.splitlines()[0][:160]})", fix="download or copy it again"
    )
