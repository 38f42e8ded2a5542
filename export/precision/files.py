"""Saving a rewritten graph as its float32 original was saved."""

from __future__ import annotations

from pathlib import Path

import onnx

from sat2sound.export.limits import EXTERNAL_DATA_ABOVE


def save(model: onnx.ModelProto, destination: Path, *, like: Path) -> None:
    """Write a graph whose weights are in the message; beside it, as `<name>.data`, if they are large or were.

    like: the file that it was made from.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    apart = like.with_name(f"{like.name}.data").exists() or model.ByteSize() > EXTERNAL_DATA_ABOVE
    if not apart:
        onnx.save(model, str(destination))
        return
    beside = destination.with_name(f"{destination.name}.data")
    beside.unlink(missing_ok=True)  # onnx appends to what is there
    onnx.save(model, str(destination), save_as_external_data=True, location=beside.name, size_threshold=1024)
