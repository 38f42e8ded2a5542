"""From a model to a model repository, doing only what is not up to date."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import transformers

from sat2sound.checkpoints import locate
from sat2sound.export.graphs import graphs
from sat2sound.export.onnx_graph import ExportedGraph, export_graph
from sat2sound.export.profiles import MAX_K, PROFILES
from sat2sound.export.repository import MANIFEST, build_repository, file_digests, read_manifest
from sat2sound.gallery import CAPTIONS, Gallery, GalleryEntry, make_gallery, read_captions, write_gallery
from sat2sound.models import Sat2Sound
from sat2sound.models.text_encoder import tokenizer_file
from sat2sound.preprocessing import Limits, TextTokenizer

_BATCH = 32
Progress = Callable[[str], None]


def ensure_repository(
    destination: Path, model: str = "starter", *, profile: str = "cpu", progress: Progress = lambda message: None
) -> Path:
    """A model repository for this model at `destination`, built if it is absent, damaged or out of date.

    model: "starter", a checkpoint file or a hub name. progress: called with one line per step. Returns the destination.
    """
    inputs = inputs_digest(model, profile)
    manifest = read_manifest(destination)
    if manifest and manifest.get("inputs") == inputs and manifest.get("files") == file_digests(destination):
        progress(f"model repository {destination} is up to date")
        return destination
    return export_repository(destination, model, profile=profile, inputs=inputs, progress=progress)


def inputs_digest(model: str, profile: str) -> str:
    """SHA-256 over everything that decides what a build contains: weights, captions, sources and exporter versions."""
    package = Path(__file__).resolve().parent
    sources = [
        *sorted(package.rglob("*.py")),
        *sorted((package.parent / "sat2sound" / "models").rglob("*.py")),
        *sorted((package.parent / "sat2sound" / "gallery").rglob("*.py")),
        *sorted((package.parent / "model_repository").rglob("*.py")),
        package.parent / "sat2sound" / "contract.py",
        CAPTIONS,
        locate(model),
    ]
    digest = hashlib.sha256(profile.encode())
    for version in (torch.__version__, transformers.__version__, onnxruntime.__version__):
        digest.update(version.encode() + b"\0")
    for path in sources:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def export_repository(
    destination: Path, model: str, *, profile: str, inputs: str, progress: Progress = lambda message: None
) -> Path:
    """Build unconditionally. Raises GraphRejected if a graph does not compute what torch computes."""
    progress(f"loading {model}")
    loaded = Sat2Sound.from_checkpoint(model)
    tokenizer = tokenizer_file(loaded.config.text.encoder)
    progress("embedding the gallery")
    gallery = embed_gallery(loaded, read_captions(), tokenizer)
    max_k = min(MAX_K, len(gallery.entries))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_gallery(folder / "gallery.parquet", gallery)
        exported = []
        for graph in graphs(loaded, gallery.embeddings, gallery.digest, max_k):
            progress(f"exporting {graph.name}")
            exported.append(export_graph(graph, folder / "graphs"))
            progress(f"exported {graph.name}: differs from torch by {exported[-1].difference:.1e} at most")
        return build_repository(
            destination,
            graphs=folder / "graphs",
            config=loaded.config,
            gallery=folder / "gallery.parquet",
            tokenizer=tokenizer,
            profile=PROFILES[profile],
            max_k=max_k,
            facts={
                "inputs": inputs,
                "checkpoint": _digest(locate(model)),
                "text_encoder": loaded.config.text.encoder,
                "gallery": {"entries": len(gallery.entries), "digest": gallery.digest.hex()},
                "graphs": {entry.name: _facts(entry) for entry in exported},
                "versions": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
            },
        )


def embed_gallery(model: Sat2Sound, entries: list[GalleryEntry], tokenizer: Path) -> Gallery:
    """Embed captions through the text branch, as the server would."""
    text = model.config.text
    encoder = TextTokenizer(tokenizer, text.max_tokens, text.buckets)
    embeddings = []
    with torch.inference_mode():
        for start in range(0, len(entries), _BATCH):
            captions = [entry.caption for entry in entries[start : start + _BATCH]]
            ids, mask = (torch.from_numpy(array) for array in encoder.encode(captions, Limits()))
            embeddings.append(model.pool_text(model.encode_text(ids, mask), mask).numpy())
    return make_gallery(entries, np.concatenate(embeddings), model.config.name)


def _facts(graph: ExportedGraph) -> dict[str, Any]:
    return {
        "bytes": graph.size_bytes,
        "opset": graph.opset,
        "difference": float(f"{graph.difference:.1e}"),
        "tolerance": graph.tolerance,
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(destination: Path) -> dict[str, Any]:
    """The manifest of a built repository, without its list of files."""
    manifest = json.loads((destination / MANIFEST).read_text(encoding="utf-8"))
    return {key: value for key, value in manifest.items() if key != "files"}
