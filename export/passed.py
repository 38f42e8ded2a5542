"""What passed the gates, by digests that are kept with the reference outputs and not in the manifest.

A manifest can be rewritten to fit a repository that was changed; then these digests still tell. They are those of every
graph with its external data, of the gallery and of the tokenizer: what decides the numbers that a repository computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sat2sound.contract import MODELS
from sat2sound.digests import file_sha256
from sat2sound.export.references import FILE, read_digests
from sat2sound.export.repository import VERSION

GALLERY = Path("gallery", VERSION, "gallery.parquet")
TOKENIZER = Path("text_preprocess", VERSION, "tokenizer.json")
GRAPHS = tuple(name for name, model in MODELS.items() if model.kind == "onnx")


def graph_files(name: str, graph: Path) -> dict[str, Path]:
    """A graph's ONNX file and its external data, <name>.onnx.data beside it, if it has any."""
    files = {"graph": graph, "data": graph.with_name(f"{name}.onnx.data")}
    return {kind: path for kind, path in files.items() if path.is_file()}


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 by kind. files: as `graph_files` gives them, or {"file": path}."""
    return {kind: file_sha256(path) for kind, path in files.items()}


def subject_files(folder: Path) -> dict[str, dict[str, Path]]:
    """By subject (a graph, "gallery", "tokenizer"): its files in the repository at `folder`, if they are there."""
    alone = {"gallery": folder / GALLERY, "tokenizer": folder / TOKENIZER}
    return {
        **{name: graph_files(name, folder / name / VERSION / "model.onnx") for name in GRAPHS},
        **{subject: {"file": path} if path.is_file() else {} for subject, path in alone.items()},
    }


def has_passed(folder: Path, subjects: Iterable[str] | None = None) -> bool:
    """Whether these subjects (default: all) of the repository at `folder` are, bit for bit, what passed the gates."""
    stored, files = read_digests(folder / FILE), subject_files(folder)
    return all(
        files[subject] and stored.get(subject) == digests(files[subject])
        for subject in (files if subjects is None else subjects)
    )
