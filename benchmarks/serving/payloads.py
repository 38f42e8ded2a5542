"""The pictures that every contender is asked about, in each form that somebody wants them in."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sat2sound.clients.sample_scene import sample_scene
from sat2sound.contract import CONDITIONS, EMBEDDING, IMAGE, IMAGE_SIZE, PIXELS

COUNT = 16


@cache
def pictures() -> list[bytes]:
    """JPEG files of 256 x 256 pixels, drawn."""
    files = []
    for seed in range(COUNT):
        file = io.BytesIO()
        Image.fromarray(sample_scene(seed)).save(file, "jpeg", quality=90)
        files.append(file.getvalue())
    return files


@cache
def pixels() -> npt.NDArray[np.uint8]:
    """uint8 [16, 224, 224, 3]: the middle of the same pictures."""
    return np.stack([sample_scene(seed)[16 : 16 + IMAGE_SIZE, 16 : 16 + IMAGE_SIZE] for seed in range(COUNT)])


def unknown_conditions() -> npt.NDArray[np.float32]:
    """float32 [7], all missing."""
    return np.full(len(CONDITIONS), np.nan, np.float32)


def write_analyzer_inputs(folder: Path) -> dict[str, Path]:
    """perf_analyzer's files of inputs, for embed_pixels and embed_satellite."""
    # Its JSON has no NaN; 0 is the month, hour and source that nobody has. Speed does not depend on the values.
    steps: dict[str, list[Any]] = {
        "embed_pixels": [
            {
                PIXELS.name: {"content": image.reshape(-1).tolist(), "shape": [*image.shape]},
                **{tensor.name: [0.0] for tensor in CONDITIONS},
            }
            for image in pixels()[:8]
        ],
        "embed_satellite": [{IMAGE.name: {"b64": base64.b64encode(_element(file)).decode()}} for file in pictures()],
    }
    files = {}
    for name, data in steps.items():
        files[name] = folder / f"{name}.json"
        files[name].write_text(json.dumps({"data": data}), encoding="utf-8")
    return files


def _element(value: bytes) -> bytes:
    """One element of a BYTES tensor as it travels: its length, then itself."""
    return len(value).to_bytes(4, "little") + value


def open_inference_bodies(model: str) -> tuple[list[bytes], dict[str, str]]:
    """Bodies and headers of Open Inference Protocol requests with binary tensors, one image each."""
    bodies, header = [], b""
    for index in range(COUNT):
        tensors: list[tuple[str, str, list[int], bytes]]
        if model == "embed_pixels":
            missing = np.full(1, np.nan, np.float32).tobytes()
            tensors = [(PIXELS.name, "UINT8", [1, IMAGE_SIZE, IMAGE_SIZE, 3], pixels()[index].tobytes())]
            tensors += [(tensor.name, "FP32", [1, 1], missing) for tensor in CONDITIONS]
        else:
            tensors = [(IMAGE.name, "BYTES", [1, 1], _element(pictures()[index]))]
        inputs = [
            {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(data)}}
            for name, kind, shape, data in tensors
        ]
        outputs = [{"name": EMBEDDING.name, "parameters": {"binary_data": True}}]
        header = json.dumps({"inputs": inputs, "outputs": outputs}).encode().ljust(2048)  # one length for all
        bodies.append(header + b"".join(data for *_, data in tensors))
    return bodies, {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
