"""From a model to a model repository, doing only what is not up to date."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
import transformers

from sat2sound.checkpoints import locate
from sat2sound.digests import file_sha256
from sat2sound.export.graphs import graphs
from sat2sound.export.manifest import file_digests, read_manifest
from sat2sound.export.onnx_graph import ExportedGraph, export_graph
from sat2sound.export.profiles import MAX_K, PROFILES
from sat2sound.export.repository import build_repository
from sat2sound.gallery import CAPTIONS, Gallery, GalleryEntry, make_gallery, read_captions, write_gallery
from sat2sound.models import Embedder, Sat2Sound
from sat2sound.models.text_encoder import text_encoder_files, tokenizer_file

_BATCH = 32
Progress = Callable[[str], None]


def ensure_repository(
    destination: Path,
    model: str = "starter",
    *,
    profile: str = "cpu",
    text_encoder: Path | None = None,
    progress: Progress = lambda message: None,
) -> Path:
    """A model repository for this model at `destination`, built if it is absent, damaged or out of date.

    model: "starter", a checkpoint file or a hub name. text_encoder: folder of the frozen text encoder, where the hub
    cannot be reached. progress: called with one line per step. Returns the destination.
    """
    inputs = inputs_digest(model, profile, text_encoder)
    manifest = read_manifest(destination)
    if manifest and manifest.get("inputs") == inputs and manifest.get("files") == file_digests(destination):
        progress(f"model repository {destination} is up to date")
        return destination
    return export_repository(
        destination, model, profile=profile, inputs=inputs, text_encoder=text_encoder, progress=progress
    )


def inputs_digest(model: str, profile: str, text_encoder: Path | None = None) -> str:
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
        *(text_encoder_files(text_encoder) if text_encoder else []),
    ]
    digest = hashlib.sha256(profile.encode())
    for version in (torch.__version__, transformers.__version__, onnxruntime.__version__):
        digest.update(version.encode() + b"\0")
    for path in sources:
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()


def export_repository(
    destination: Path,
    model: str,
    *,
    profile: str,
    inputs: str,
    text_encoder: Path | None = None,
    progress: Progress = lambda message: None,
) -> Path:
    """Build unconditionally. Raises GraphRejected if a graph does not compute what torch computes."""
    progress(f"loading {model}")
    loaded = Sat2Sound.from_checkpoint(model, text_encoder)
    tokenizer = tokenizer_file(loaded.config.text.encoder)
    progress("embedding the gallery")
    gallery = embed_gallery(loaded, read_captions())
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
                "checkpoint": file_sha256(locate(model)),
                "text_encoder": loaded.config.text.encoder,
                "gallery": {"entries": len(gallery.entries), "digest": gallery.digest.hex()},
                "graphs": {entry.name: _facts(entry) for entry in exported},
                "versions": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
            },
        )


def embed_gallery(model: Sat2Sound, entries: list[GalleryEntry]) -> Gallery:
    """Embed captions through the text branch, as the server would."""
    embedder = Embedder(model, batch=_BATCH, concepts_per_chunk=None)
    embeddings = embedder.embed_text([entry.caption for entry in entries]).numpy()
    return make_gallery(entries, embeddings, model.config.name)


def _facts(graph: ExportedGraph) -> dict[str, Any]:
    return {
        "bytes": graph.size_bytes,
        "opset": graph.opset,
        "difference": float(f"{graph.difference:.1e}"),
        "tolerance": graph.tolerance,
    }
