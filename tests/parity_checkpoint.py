"""Checkpoints of the published layout, filled by the parity rule (MODEL.md, parity vectors)."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sat2sound.models.windows import relative_position_index, shifted_window_mask

METADATA_TYPE = "audio_source_caption_source_latlong_month_time"
_METADATA_PREFIX = "sat_encoder."


def fill(salt: str, name: str, shape: list[int], kind: str) -> np.ndarray:
    """float32 values of one parameter: normal numbers seeded by its name, shaped by its kind."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
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
    return torch.tensor(np.log(1 / 0.07), dtype=torch.float32)


def write_checkpoint(path: Path, manifest: dict[str, Any], *, metadata: bool, satellite: str = "bingmap") -> None:
    """A Lightning checkpoint as published, with or without the metadata branch."""
    state = {
        key["name"]: computed(key["name"], key["shape"])
        if key["kind"] == "as-computed"
        else torch.from_numpy(fill(manifest["salt"], key["name"], key["shape"], key["kind"]))
        for key in manifest["keys"]
        if metadata or not key["name"].startswith(_METADATA_PREFIX)
    }
    # constants that published files carry along and that must not disturb loading
    state["audio_encoder.model.audio_enc.audio_feats_extractor.logmel.melW"] = torch.zeros(513, 64)
    state["audio_encoder.model.audio_enc.tscam_conv.bias"] = torch.zeros(527)
    hyper_parameters = {"sat_type": satellite, "metadata_type": METADATA_TYPE if metadata else "none"}
    torch.save(
        {"state_dict": state, "hyper_parameters": hyper_parameters, "epoch": 0, "pytorch-lightning_version": "2.2.0"},
        path,
    )
