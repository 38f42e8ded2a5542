"""Checkpoints in and out: published Lightning files, the project's safetensors, and the starter that comes with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sat2sound import published
from sat2sound.configs import ModelConfig, config_names
from sat2sound.errors import CheckpointError, ConfigurationError, CorruptCheckpoint, IncompatibleCheckpoint
from sat2sound.hub import HubUnreachable, NotOnHub, hub_file
from sat2sound.hyperparameters import derive_config
from sat2sound.models.sat2sound import Sat2Sound
from sat2sound.models.text_encoder import with_text_encoder
from sat2sound.pickles import load_lightning

FORMAT = "sat2sound"
STARTER = Path(__file__).parent / "weights" / "starter.safetensors"
HUB_REPOSITORY = "MVRL/sat2sound"


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
    return path, *(read_safetensors(path) if path.suffix == ".safetensors" else read_published(path))


def build(path: Path, config: ModelConfig, state: dict[str, Tensor]) -> Sat2Sound:
    """A model that uses these tensors, by this library's names, without copying float32 ones.

    Raises IncompatibleCheckpoint listing every missing, unexpected and misshapen parameter.
    """
    with torch.device("meta"):  # no memory yet: the checkpoint's own tensors move in below
        model = Sat2Sound(config)
    wanted = model.state_dict()
    problems = [f"missing: {name}" for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    problems += [f"unexpected: {name}" for name in state if name not in wanted]
    problems += [
        f"wrong shape: {name} is {list(state[name].shape)}, expected {list(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if problems:
        raise IncompatibleCheckpoint(
            path,
            f"{len(problems)} parameters do not fit configuration {config.name!r}:\n  " + "\n  ".join(problems) + "\n",
            fix="use the checkpoint that belongs to this configuration, or convert it with this version's `convert`",
        )
    for name, value in wanted.items():
        if name not in state:  # the counters of batch norm, which only training uses
            state[name] = torch.zeros(value.shape, dtype=value.dtype)
    floats = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    model.load_state_dict(floats, strict=True, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model.eval()


def locate(source: str | Path) -> Path:
    """The file behind a name. Raises CheckpointError saying what to do when it cannot be had."""
    if str(source) == "starter":
        return STARTER
    path = Path(source)
    if path.is_file():
        return path
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
        else:
            state[ours] = value
    if unknown:
        raise IncompatibleCheckpoint(
            path,
            f"{len(unknown)} parameters are not known from published checkpoints: {', '.join(unknown)}",
            fix="use a checkpoint that the published Sat2Sound code wrote",
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
    except SafetensorError as error:
        raise CorruptCheckpoint(
            path, f"not a readable safetensors file ({error})", fix="copy or download it again"
        ) from error
    except ConfigurationError as error:
        raise IncompatibleCheckpoint(path, str(error), fix=f"use one of {', '.join(config_names())}") from error


def save_safetensors(
    path: Path, config: ModelConfig, state: Mapping[str, Tensor], *, half: bool = False, **metadata: str
) -> None:
    """Write parameters and configuration. half: store as float16 (computed in float32 after loading).

    The file is complete or absent: it is written beside its place and moved.
    """
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    header = {"format": FORMAT, "config": json.dumps(json.loads(config.to_json())), **metadata}
    partial = path.with_name(path.name + ".partial")
    safetensors.torch.save_file(tensors, str(partial), metadata=header)
    partial.chmod(0o644)  # safetensors writes for the owner only
    partial.replace(path)
