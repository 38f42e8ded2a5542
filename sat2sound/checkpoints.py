"""Checkpoints in and out: published Lightning files, the project's safetensors, and the starter that comes with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from sat2sound import published
from sat2sound.atomic_files import replacing_file
from sat2sound.configs import ModelConfig, config_names
from sat2sound.errors import CheckpointError, ConfigurationError, CorruptCheckpoint, IncompatibleCheckpoint
from sat2sound.hub import HubUnreachable, NotOnHub, hub_file
from sat2sound.hyperparameters import derive_config
from sat2sound.models.sat2sound import Sat2Sound
from sat2sound.models.text_encoder import with_text_encoder
from sat2sound.pickles import first_line, load_lightning

FORMAT = "sat2sound"
STARTER = Path(__file__).parent / "weights" / "starter.safetensors"
HUB_REPOSITORY = "MVRL/sat2sound"
_OWN_CHECKPOINT = "use a checkpoint that the published Sat2Sound code wrote"


def load_model(source: str | Path, text_encoder: str | Path | None = None) -> Sat2Sound:
    """A model in eval mode, in float32.

    source: "starter"; a .safetensors file; a published Lightning .ckpt; or "<hub repository>:<name>", e.g.
    "MVRL/sat2sound:bingmap_withmeta", which is downloaded once and cached. text_encoder: a folder (or hub name) to take
    the frozen text encoder and its tokenizer from, instead of where the configuration says; needed offline. It is read
    when the first text comes. Raises CheckpointError, and TextEncoderError if `text_encoder` is no such folder.
    """
    path, config, state = read_checkpoint(source)
    if text_encoder is not None:
        config = with_text_encoder(config, text_encoder)
    return build(path, config, state)


def read_checkpoint(source: str | Path) -> tuple[Path, ModelConfig, dict[str, Tensor]]:
    """The file, its configuration and its parameters by this library's names. Arguments and errors as `load_model`."""
    path = locate(source)
    return path, *(read_safetensors(path) if path.suffix.lower() == ".safetensors" else read_published(path))


def build(path: Path, config: ModelConfig, state: dict[str, Tensor]) -> Sat2Sound:
    """A model that uses these tensors, by this library's names, without copying float32 ones. Empties `state`.

    Raises IncompatibleCheckpoint listing every missing, unexpected, misshapen and mistyped parameter, and
    CorruptCheckpoint if values are not finite.
    """
    model = _lay_out(path, config)
    wanted = model.state_dict()
    problems = [f"missing: {name}" for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    problems += [f"unexpected: {name}" for name in state if name not in wanted]
    problems += [
        problem for name, value in wanted.items() if name in state and (problem := _misfit(name, state[name], value))
    ]
    if problems:
        raise IncompatibleCheckpoint(
            path,
            f"{len(problems)} parameters do not fit configuration {config.name!r}:\n  " + "\n  ".join(problems) + "\n",
            fix="use the checkpoint that belongs to this configuration, or convert it with this version's `convert`",
        )
    floats: dict[str, Tensor] = {}
    spoiled = []
    for name, value in wanted.items():
        # Taken out one by one, so that a half-precision file and its float32 copy are never in memory together. Batch
        # norm's counters, which only training uses, may be absent.
        tensor = state.pop(name) if name in state else torch.zeros(value.shape, dtype=value.dtype)
        floats[name] = tensor.float() if tensor.is_floating_point() else tensor
        if not torch.isfinite(floats[name]).all():
            spoiled.append(name)
    if spoiled:
        raise CorruptCheckpoint(
            path,
            f"{len(spoiled)} parameters hold NaN or infinite values: {', '.join(spoiled[:8])}",
            fix="use the checkpoint of an earlier step: training had diverged, or the file was damaged",
        )
    model.load_state_dict(floats, strict=True, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model.eval()


def _lay_out(path: Path, config: ModelConfig) -> Sat2Sound:
    """A model without memory of its own: the checkpoint's tensors move in."""
    try:
        with torch.device("meta"):
            return Sat2Sound(config)
    except Exception as error:  # sizes that contradict each other make torch's layers raise all sorts of errors
        raise IncompatibleCheckpoint(
            path,
            f"its configuration describes no model ({type(error).__name__}: {first_line(error)})",
            fix=f"use a file that `sat2sound convert` wrote, or a configuration of {', '.join(config_names())}",
        ) from error


def _misfit(name: str, found: Tensor, wanted: Tensor) -> str:
    """Why a tensor cannot be this parameter; empty if it can."""
    if found.shape != wanted.shape:
        return f"wrong shape: {name} is {list(found.shape)}, expected {list(wanted.shape)}"
    if found.is_floating_point() != wanted.is_floating_point():
        return f"wrong type: {name} is {found.dtype}, expected {wanted.dtype}"
    if found.layout is not torch.strided or found.is_meta:
        return f"wrong kind: {name} is {found.layout} on {found.device}, expected a plain tensor"
    return ""


def locate(source: str | Path) -> Path:
    """The file behind a name. Raises CheckpointError saying what to do when it cannot be had."""
    if str(source) == "starter":
        return STARTER
    path = Path(source)
    try:
        if path.is_file():
            return path
        if path.exists():
            raise CheckpointError(source, "not a file", fix="give the .safetensors or .ckpt file itself")
    except (OSError, ValueError) as error:  # a name that no file can have
        raise CheckpointError(str(source)[:200], f"no file name ({error})", fix="give a path or a hub name") from error
    repository, colon, name = str(source).partition(":")
    if not colon or "/" not in repository:
        raise CheckpointError(
            source,
            "no such file",
            fix=f'give a .safetensors or .ckpt file, "starter", or e.g. "{HUB_REPOSITORY}:bingmap_withmeta"',
        )
    return _download(repository, name)


def _download(repository: str, name: str) -> Path:
    file = f"sat2sound/{name}.ckpt"
    try:
        return hub_file(repository, file)
    except NotOnHub as error:
        fix = "check the name; published: {bingmap,sentinel,SoundingEarth}_{nometa,withmeta}"
        raise CheckpointError(f"{repository}:{name}", str(error), fix=fix) from error
    except HubUnreachable as error:
        fix = f"download {file} from https://huggingface.co/{repository} elsewhere and give its path"
        raise CheckpointError(f"{repository}:{name}", str(error), fix=fix) from error


def read_published(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Configuration and parameters, by this library's names, of a published Lightning checkpoint."""
    return interpret_published(path, load_lightning(path))


def interpret_published(path: Path, checkpoint: Mapping[str, Any]) -> tuple[ModelConfig, dict[str, Tensor]]:
    """As `read_published`, of what `load_lightning` read. path: named in errors."""
    config = derive_config(path, checkpoint["hyper_parameters"])
    state: dict[str, Tensor] = {}
    unknown = []
    for name, value in checkpoint["state_dict"].items():
        if published.is_ignored(name):
            continue
        ours = published.to_library(name)
        if ours is None:
            unknown.append(name)
        elif ours in state:
            raise IncompatibleCheckpoint(path, f"two names for one parameter ({name})", fix=_OWN_CHECKPOINT)
        else:
            state[ours] = value
    if unknown:
        raise IncompatibleCheckpoint(
            path,
            f"{len(unknown)} parameters are not known from published checkpoints: {', '.join(unknown)}",
            fix=_OWN_CHECKPOINT,
        )
    return config, state


def read_safetensors(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Configuration and parameters of a file that `save_safetensors` wrote. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(path, "no such file", fix="train one with `make train-starter`, or give another path")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise IncompatibleCheckpoint(
                    path,
                    "the safetensors file is of another project",
                    fix="convert a checkpoint with `sat2sound convert`",
                )
            config = ModelConfig.from_json(metadata.get("config", ""))
            return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except IncompatibleCheckpoint:
        raise
    except ConfigurationError as error:
        raise IncompatibleCheckpoint(path, str(error), fix=f"use one of {', '.join(config_names())}") from error
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error})", fix="check the path and its permissions") from error
    except Exception as error:  # a damaged header makes the reader raise more than its own SafetensorError
        raise CorruptCheckpoint(
            path, f"not a readable safetensors file ({first_line(error)})", fix="copy or download it again"
        ) from error


def save_safetensors(
    path: Path, config: ModelConfig, state: Mapping[str, Tensor], *, half: bool = False, **metadata: str
) -> None:
    """Write parameters and configuration. half: store as float16 (computed in float32 after loading).

    Tensors that share memory are written apart. The file is complete or absent (`replacing_file`).
    """
    tensors: dict[str, Tensor] = {}
    written: set[int] = set()
    for name, value in state.items():
        tensor = (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if storage in written else tensor  # safetensors refuses shared memory
        written.add(storage)
    header = {"format": FORMAT, "config": json.dumps(json.loads(config.to_json())), **metadata}
    with replacing_file(path) as partial:
        safetensors.torch.save_file(tensors, str(partial), metadata=header)
        partial.chmod(0o644)  # safetensors writes for the owner only
