"""Checkpoints of the published layout, filled by the parity rule (MODEL.md, parity vectors)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity_folder import METADATA_PREFIX

from sat2sound.configs import METADATA_PARTS, MetadataPart
from sat2sound.hyperparameters import metadata_type
from sat2sound.models.windows import relative_position_index, shifted_window_mask


def fill(salt: object, name: str, shape: list[int], kind: str) -> np.ndarray:
    """float32 values of one parameter: normal numbers seeded by its name, shaped by its kind."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"{salt}{name}".encode())))
    normal = generator.standard_normal(shape)
    if kind == "matrix":
        normal = normal / np.sqrt(np.prod(shape[1:]))
    elif kind == "scale":
        normal = 1 + 0.1 * normal
    elif kind == "shift":
        normal = 0.02 * normal
    elif kind == "var":
        normal = 1 + 0.5 * np.abs(normal)
    elif kind == "table":
        normal = 0.5 * normal
    elif kind != "unit":
        raise ValueError(f"{name}: unknown kind {kind!r}")
    return np.asarray(normal, dtype=np.float32)


def computed(name: str, shape: list[int]) -> torch.Tensor:
    """What a published checkpoint carries under `as-computed` names: logit scales, counters, window constants."""
    if name.endswith("relative_position_index"):
        return relative_position_index(round(shape[0] ** 0.5))
    if name.endswith("attn_mask"):
        window = round(shape[1] ** 0.5)
        return shifted_window_mask(round(shape[0] ** 0.5) * window, window, window // 2)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.startswith("logit_scale"):
        return torch.full(shape, np.log(1 / 0.07), dtype=torch.float32)
    return torch.zeros(shape)  # STFT and mel constants, where a manifest names them


def write_checkpoint(
    path: Path, manifest: dict[str, Any], *, parts: Sequence[MetadataPart] = METADATA_PARTS, satellite: str = "bingmap"
) -> None:
    """A Lightning checkpoint as published, with these metadata parts; without the metadata branch if there are none."""
    state = {
        key["name"]: computed(key["name"], key["shape"])
        if key["kind"] == "as-computed"
        else torch.from_numpy(fill(manifest["salt"], key["name"], key["shape"], key["kind"]))
        for key in manifest["keys"]
        if parts or not key["name"].startswith(METADATA_PREFIX)
    }
    # constants that published files carry along and that must not disturb loading
    state["audio_encoder.model.audio_enc.audio_feats_extractor.logmel.melW"] = torch.zeros(513, 64)
    state["audio_encoder.model.audio_enc.tscam_conv.bias"] = torch.zeros(527)
    hyper_parameters = {"sat_type": satellite, "metadata_type": metadata_type(parts)}
    torch.save(
        {"state_dict": state, "hyper_parameters": hyper_parameters, "epoch": 0, "pytorch-lightning_version": "2.2.0"},
        path,
    )
