"""Assemble a model repository: configurations, graphs, python models, tokenizer, gallery, and a manifest of it all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sat2sound.configs import ModelConfig, load_config
from sat2sound.contract import MODELS
from sat2sound.errors import ConfigurationError
from sat2sound.export.folders import replacing
from sat2sound.export.manifest import read_manifest, write_manifest
from sat2sound.export.profiles import MAX_K, PROFILES, Profile
from sat2sound.export.references import FILE as REFERENCES
from sat2sound.export.triton_config import configurations

SOURCES = Path(__file__).resolve().parent.parent / "model_repository"
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
    references: Path | None = None,
) -> Path:
    """Write a complete repository, then put it in the place of `destination` in one step.

    graphs: folder with <model>.onnx per graph, and its external data beside it if it has any. gallery: Parquet with
    embeddings. max_k: rows that the similarity graph returns. facts: what the manifest shall say besides files and
    versions. references: reference inputs and outputs, which `verify` needs. Returns the destination. Raises
    ConfigurationError if a graph is missing, or if the destination holds something else than a repository; then, and
    when the build is killed, the destination stays as it was.
    """
    destination = destination.resolve()
    missing = [
        name for name, model in MODELS.items() if model.kind == "onnx" and not (graphs / f"{name}.onnx").is_file()
    ]
    if missing:
        raise ConfigurationError(f"{graphs} lacks the graphs {', '.join(missing)}")
    check_destination(destination)
    with replacing(destination) as folder:
        write_configurations(folder, config, profile, max_k)
        for model in MODELS.values():
            version = folder / model.name / VERSION
            version.mkdir()
            if model.kind == "python":
                shutil.copyfile(SOURCES / model.name / VERSION / "model.py", version / "model.py")
            if model.kind == "ensemble":  # Triton wants a version folder, git and many copiers want a file in it
                (version / ".keep").touch()
        for model_name in ("satellite_preprocess", "text_preprocess"):
            (folder / model_name / VERSION / "sat2sound.json").write_text(config.to_json(), encoding="utf-8")
        shutil.copyfile(tokenizer, folder / "text_preprocess" / VERSION / "tokenizer.json")
        shutil.copyfile(gallery, folder / "gallery" / VERSION / "gallery.parquet")
        if references is not None:
            shutil.copyfile(references, folder / REFERENCES)
        for file in sorted(graphs.glob("*.onnx*")):
            # model.onnx; a graph names its external data by file name, so that keeps its own
            name = file.name.partition(".onnx")[0]
            placed = "model.onnx" if file.suffix == ".onnx" else file.name
            shutil.copyfile(file, folder / name / VERSION / placed)
        write_manifest(folder, {"max_k": max_k, "profile": profile.name, "model": config.name, **facts})
    return destination


def check_destination(destination: Path) -> None:
    """Raises ConfigurationError for a place where no repository may be written: a file, or a folder of other things."""
    if destination.exists() and not destination.is_dir():
        raise ConfigurationError(f"{destination} is a file; choose a folder, which may be new")
    if destination.is_dir() and any(destination.iterdir()) and read_manifest(destination) is None:
        raise ConfigurationError(f"{destination} is not empty and not a model repository; choose another folder")
    ancestor = next(parent for parent in destination.absolute().parents if parent.exists())
    if not ancestor.is_dir() or not os.access(ancestor, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{destination} cannot be made: {ancestor} is no folder that may be written to")


def write_configurations(folder: Path, config: ModelConfig, profile: Profile, max_k: int) -> None:
    """Write <model>/config.pbtxt for every model of the contract."""
    for name, text in configurations(config, profile, max_k).items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "config.pbtxt").write_text(text, encoding="utf-8")


def main() -> None:
    """Bring the checked-in configurations up to date: the starter on the cpu profile."""
    write_configurations(SOURCES, load_config("starter"), PROFILES["cpu"], MAX_K)


if __name__ == "__main__":
    main()
