"""From a checkpoint to a model repository, doing only what is not up to date."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sat2sound.checkpoints import build as build_model
from sat2sound.checkpoints import read_checkpoint
from sat2sound.configs import ModelConfig
from sat2sound.digests import file_sha256
from sat2sound.export.branches import Branch, branches, ranking_graphs, ranking_references
from sat2sound.export.build_events import GraphEvent, Progress, Watch
from sat2sound.export.conversion import CONVERTERS
from sat2sound.export.folders import workshop
from sat2sound.export.gates import GateResult, check_graph, require
from sat2sound.export.gates.whole import check_whole
from sat2sound.export.graphs import PARTS, Graph
from sat2sound.export.inputs import (
    BuildRequest,
    encoder_files,
    gallery_key,
    graph_base_digest,
    graph_key,
    inputs_digest,
    versions,
)
from sat2sound.export.manifest import file_digests, read_manifest
from sat2sound.export.onnx_graph import OPSET, write_graph
from sat2sound.export.passed import digests, graph_files, has_passed
from sat2sound.export.previous import PreviousBuild
from sat2sound.export.profiles import MAX_K
from sat2sound.export.references import FILE as REFERENCES
from sat2sound.export.references import References, write_references
from sat2sound.export.repository import build_repository, check_destination
from sat2sound.export.tensorrt.supported import check_supported
from sat2sound.gallery import Gallery, GalleryEntry, make_gallery, read_captions, read_gallery, write_gallery
from sat2sound.models import Embedder, Sat2Sound
from sat2sound.models.text_encoder import tokenizer_file, with_text_encoder

_BATCH = 32


def ensure_repository(
    destination: Path,
    request: BuildRequest | None = None,
    *,
    progress: Progress = lambda message: None,
    watch: Watch | None = None,
) -> Path:
    """The repository asked for (default: the starter's for the cpu) at `destination`, built if it is not there already.

    progress: called with one line per step. watch: called as graphs go through their stages; default: as progress.
    Returns the destination. Raises GateFailure listing every difference from torch; CheckpointError,
    ConfigurationError. Whatever happens, the destination holds the old repository or the new one.
    """
    request = request or BuildRequest()
    entries = read_captions(request.gallery)  # what cannot be used is said at once, not after minutes of work
    check_destination(destination)
    inputs = inputs_digest(request)
    if not is_current(destination, inputs):
        with workshop(destination) as folder:
            if not is_current(destination, inputs):  # another builder may have been faster
                watch = watch or (lambda event: progress(f"{event.stage} {event.graph}"))
                return _Build(request, entries, destination, folder, progress, watch).run(inputs)
    progress(f"model repository {destination} is up to date")
    return destination


def is_current(destination: Path, inputs: str) -> bool:
    """Whether a repository with these inputs is there whose files are as it says and as they passed the gates."""
    manifest = read_manifest(destination)
    if manifest is None or manifest.get("inputs") != inputs:
        return False
    return manifest.get("files") == file_digests(destination) and has_passed(destination)


@dataclass
class _Build:
    request: BuildRequest
    entries: list[GalleryEntry]
    destination: Path
    folder: Path
    progress: Progress
    watch: Watch
    facts: dict[str, Any] = field(default_factory=dict)
    results: list[GateResult] = field(default_factory=list)
    references: References = field(default_factory=lambda: References({}, {}))

    def run(self, inputs: str) -> Path:
        """All steps."""
        self.progress(f"loading {self.request.model}")
        path, config, state = read_checkpoint(self.request.model)
        place = self.request.text_encoder
        model = build_model(path, with_text_encoder(config, place) if place else config, state)
        del state
        tokenizer = self.tokenizer = tokenizer_file(model.config.text.encoder)
        self.base = graph_base_digest(self.request, config)
        self.previous = PreviousBuild(self.destination)
        for branch in branches(model):
            self._branch(model, branch)
        gallery = self._gallery(model, config)
        max_k = min(MAX_K, len(gallery.entries))
        self._ranking(config, gallery, max_k)
        del model  # the last gate runs the graphs: two copies of the weights would be in memory
        require("the graphs differ from torch", self.results)
        files = {name: self._file(name) for name in self.facts}
        self.results += require("TensorRT cannot build the graphs", check_supported(self.request.profile, files))
        self.progress("checking rankings and the gallery")
        whole = check_whole(files, self.request.profile, config, self.references, gallery, tokenizer)
        self.results += require("the graphs rank otherwise than torch", whole)
        passed = {name: graph_files(name, path) for name, path in files.items()}
        passed |= {"gallery": {"file": self.folder / "gallery.parquet"}, "tokenizer": {"file": tokenizer}}
        found = {subject: digests(paths) for subject, paths in passed.items()}
        self.references = dataclasses.replace(self.references, digests=found)
        write_references(self.folder / REFERENCES, self.references)
        return build_repository(
            self.destination,
            graphs=self.folder / "graphs",
            config=config,
            gallery=self.folder / "gallery.parquet",
            tokenizer=tokenizer,
            profile=self.request.profile,
            max_k=max_k,
            references=self.folder / REFERENCES,
            facts={
                "inputs": inputs,
                "checkpoint": file_sha256(path),
                "text_encoder": {file.name: file_sha256(file) for file in encoder_files(self.request)},
                "gallery": self.gallery_facts,
                "graphs": self.facts,
                "gates": [result.to_json() for result in self.results],
                "versions": versions(),
            },
        )

    def _file(self, name: str) -> Path:
        return self.folder / "graphs" / f"{name}.onnx"

    def _branch(self, model: Sat2Sound, branch: Branch) -> None:
        graphs = (branch.encoder, branch.pooling)
        keys = {
            graph.name: self._key(graph.name, (getattr(model, part) for part in PARTS[graph.name])) for graph in graphs
        }
        old = self.previous.references()
        reused = {name for name, key in keys.items() if self.previous.take(name, key, self._file(name))}
        if old and reused == keys.keys() and branch.name in old.queries:
            self.references = self.references.joined(old.only(reused, {branch.name}))
            for name in keys:
                self._reuse(name)
            return
        self.progress(f"computing reference outputs of the {branch.name} branch")
        references = branch.references()
        self.references = self.references.joined(references)
        for graph in graphs:
            self._make(graph, keys[graph.name], model.config, graph.name in reused)

    def _ranking(self, config: ModelConfig, gallery: Gallery, max_k: int) -> None:
        graphs = ranking_graphs(gallery, max_k)
        self.references = self.references.joined(ranking_references(graphs, gallery))
        for name, graph in graphs.items():
            key = self._key(name, [graph.module])
            if self.previous.take(name, key, self._file(name)):
                self._reuse(name)
            else:
                self._make(graph, key, config, written=False, max_k=max_k)

    def _key(self, name: str, modules: Iterable[torch.nn.Module | None]) -> str:
        weights = {
            f"{number}.{key}": hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()
            for number, module in enumerate(modules)
            if module is not None
            for key, tensor in (*module.named_parameters(), *module.named_buffers())
        }
        return graph_key(self.base, name, self.request.profile.precision(name), weights, self.tokenizer)

    def _reuse(self, name: str) -> None:
        self.facts[name] = self.previous.facts(name)
        self.results += self.previous.results(name)
        self.watch(GraphEvent(name, "reused"))

    def _make(self, graph: Graph, key: str, config: ModelConfig, written: bool, max_k: int = MAX_K) -> None:
        started = time.monotonic()
        precision, path = self.request.profile.precision(graph.name), self._file(graph.name)
        if not written:
            self.watch(GraphEvent(graph.name, "exporting"))
            exact = path if precision == "float32" else self.folder / "float32" / path.name
            write_graph(graph, exact, self.request.external_data_above)
            if precision != "float32":
                self.watch(GraphEvent(graph.name, "converting"))
                path.parent.mkdir(exist_ok=True)
                CONVERTERS[precision](graph.name, exact, path)
                shutil.rmtree(exact.parent)
        self.watch(GraphEvent(graph.name, "checking"))
        cases = self.references.graphs[graph.name]
        results = check_graph(graph.contract, config.dimensions(max_k), path, precision, cases)
        self.results += results
        values = next(result for result in results if result.gate == "values")
        self.facts[graph.name] = {
            "key": key,
            "file": "model.onnx",
            "bytes": sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")),
            "opset": OPSET,
            "precision": precision,
            "difference": None if values.measured is None else float(f"{values.measured:.1e}"),
            "tolerance": values.allowed,
            "seconds": round(time.monotonic() - started, 1),
        }
        self.watch(GraphEvent(graph.name, "done"))

    def _gallery(self, model: Sat2Sound, config: ModelConfig) -> Gallery:
        path = self.folder / "gallery.parquet"
        made_of = [self.facts[name]["key"] for name in ("text_encoder", "text_pooling")]
        key = gallery_key(made_of, config.name, self.request.gallery)
        if self.previous.take_gallery(key, path):
            self.progress("the gallery's embeddings are reused")
            gallery = read_gallery(path)
        else:
            self.progress(f"embedding {len(self.entries)} captions of the gallery")
            gallery = embed_gallery(model, self.entries)
            write_gallery(path, gallery)
        self.gallery_facts = {"entries": len(self.entries), "digest": gallery.digest.hex(), "key": key}
        return gallery


def embed_gallery(model: Sat2Sound, entries: list[GalleryEntry]) -> Gallery:
    """Embed captions through the text branch, as the server would."""
    embedder = Embedder(model, batch=_BATCH)
    embeddings = embedder.embed_text([entry.caption for entry in entries]).numpy()
    return make_gallery(entries, embeddings, model.config.name)
