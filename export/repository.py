"""Assemble a model repository: configurations, graphs, python models, tokenizer, gallery, and a manifest of it all.

It is built in a folder beside its destination and moved into place, so that a build that is killed leaves the old
repository as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sat2sound
from sat2sound.configs import ModelConfig
from sat2sound.contract import MODELS, Dimensions, ModelContract
from sat2sound.errors import ConfigurationError
from sat2sound.export.profiles import Profile
from sat2sound.export.triton_config import model_config, render

SOURCES = Path(__file__).resolve().parent.parent / "model_repository"
MANIFEST = "manifest.json"
VERSION = "1"


def build_repository(
    destination: Path,
    *,
    graphs: Path,
    config: ModelConfig,
    gallery: Path,
    tokenizer: Path,
    profile: Profile,
    max_k: int,
    facts: Mapping[str, Any],
) -> Path:
    """Write a complete repository to `destination`, replacing what is there at the last moment.

    graphs: folder with <model>.onnx per graph. gallery: Parquet with embeddings. max_k: rows that the similarity graph
    returns. facts: what the manifest shall say besides files and versions. Returns the destination. Raises
    ConfigurationError if a graph is missing.
    """
    missing = [
        name for name, model in MODELS.items() if model.kind == "onnx" and not (graphs / f"{name}.onnx").is_file()
    ]
    if missing:
        raise ConfigurationError(f"{graphs} lacks the graphs {', '.join(missing)}")
    partial = destination.with_name(f".{destination.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        dimensions = config.dimensions(max_k)
        for model in MODELS.values():
            _write_model(partial / model.name, model, dimensions, profile)
        files = {"sat2sound.json": config.to_json().encode(), "tokenizer.json": tokenizer.read_bytes()}
        files["gallery.parquet"] = gallery.read_bytes()
        for model, names in {
            "satellite_preprocess": ["sat2sound.json"],
            "text_preprocess": ["sat2sound.json", "tokenizer.json"],
            "gallery": ["gallery.parquet"],
        }.items():
            for name in names:
                (partial / model / VERSION / name).write_bytes(files[name])
        for file in sorted(graphs.glob("*.onnx*")):
            name, _, rest = file.name.partition(".onnx")
            shutil.copyfile(file, partial / name / VERSION / f"model.onnx{rest}")
        write_manifest(partial, {"max_k": max_k, "profile": profile.name, "model": config.name, **facts})
        replace_folder(partial, destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return destination


def _write_model(folder: Path, model: ModelContract, dimensions: Dimensions, profile: Profile) -> None:
    version = folder / VERSION
    version.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(render(model_config(model, dimensions, profile)), encoding="utf-8")
    if model.kind == "python":
        shutil.copyfile(SOURCES / model.name / VERSION / "model.py", version / "model.py")
    if model.kind == "ensemble":  # Triton wants a version folder, git and many copiers want a file in it
        (version / ".keep").touch()


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by relative path."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST and "__pycache__" not in path.parts:
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """manifest.json: the facts, this package's version, and the digest of every file."""
    manifest = {**facts, "sat2sound": sat2sound.__version__, "files": file_digests(folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a built repository, or None if there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def replace_folder(new: Path, destination: Path) -> None:
    """Put `new` in the place of `destination`; what was there is removed only after the new one stands."""
    old = destination.with_name(f".{destination.name}.{os.getpid()}.old")
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.exists():
        destination.rename(old)
    try:
        new.rename(destination)
    except OSError:
        if old.exists():
            old.rename(destination)
        raise
    shutil.rmtree(old, ignore_errors=True)
