"""The model repositories of a run: the starter as `sat2sound export` builds it, the satellite part of a large model.

The large one has the published architecture (satellite encoder ViT-B/16, 16,000 concepts) with weights by the parity
rule, because published weights could not be downloaded here; speed does not depend on their values. Only the models
behind `embed_pixels` are written, without gates: a full build is `make export-published-size`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.export_published_size import write_checkpoint_file
from sat2sound.contract import DESCRIBED_MODEL, DESCRIPTION_PARAMETER, MODELS
from sat2sound.export.build import ensure_repository
from sat2sound.export.conversion import CONVERTERS
from sat2sound.export.folders import replacing
from sat2sound.export.graphs import Graph, SatelliteEncoder, SatellitePooling
from sat2sound.export.inputs import BuildRequest
from sat2sound.export.onnx_graph import write_graph
from sat2sound.export.profiles import MAX_K, PROFILES
from sat2sound.export.samples import conditions, pictures
from sat2sound.export.triton_config import model_config, render
from sat2sound.models import Sat2Sound

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "bench"
PROFILES_MEASURED = {"float32": PROFILES["cpu"], "int8": PROFILES["cpu-int8"]}
_MODELS = ("satellite_encoder", "satellite_pooling", "embed_pixels")


def starter(precisions: Sequence[str]) -> dict[str, Path]:
    """Built or brought up to date, by precision."""
    return {
        precision: ensure_repository(
            FOLDER / f"starter-{precision}", BuildRequest(profile=PROFILES_MEASURED[precision])
        )
        for precision in precisions
    }


def published_size(precisions: Sequence[str], parity: Path) -> tuple[dict[str, Path], Path]:
    """Repositories by precision, and the checkpoint that they come from. parity: folder with manifest.json."""
    folder = ROOT / "build" / "published-size"
    checkpoint = write_checkpoint_file(folder, parity)
    graphs = {name: folder / "graphs" / f"{name}.onnx" for name in (*_MODELS[:2], "int8")}
    model = None
    if not all(path.exists() for path in graphs.values()):
        model = Sat2Sound.from_checkpoint(checkpoint).eval()
        _write_graphs(model, graphs)
    config = (model or Sat2Sound.from_checkpoint(checkpoint)).config
    found = {}
    for precision in precisions:
        profile = PROFILES_MEASURED[precision]
        encoder = graphs["int8" if precision == "int8" else "satellite_encoder"]
        found[precision] = FOLDER / f"published-{precision}"
        with replacing(found[precision]) as repository:
            for name in _MODELS:
                (repository / name / "1").mkdir(parents=True)
                described = model_config(MODELS[name], config.dimensions(MAX_K), profile)
                if name == DESCRIBED_MODEL:
                    described.parameters[DESCRIPTION_PARAMETER].string_value = config.to_compact_json()
                (repository / name / "config.pbtxt").write_text(render(described), encoding="utf-8")
            shutil.copyfile(encoder, repository / "satellite_encoder" / "1" / "model.onnx")
            shutil.copyfile(graphs["satellite_pooling"], repository / "satellite_pooling" / "1" / "model.onnx")
    return found, checkpoint


def _write_graphs(model: Sat2Sound, graphs: dict[str, Path]) -> None:
    random = np.random.default_rng(0)
    config = model.config
    inputs = {"PIXELS": pictures(2, random), **conditions(2, random)}
    tokens = {"TOKENS": random.standard_normal((2, config.image_tokens, config.embedding)).astype(np.float32)}
    encoder = Graph(MODELS["satellite_encoder"], SatelliteEncoder(model).eval(), inputs)
    pooling = Graph(MODELS["satellite_pooling"], SatellitePooling(model).eval(), tokens)
    for graph in (encoder, pooling):
        write_graph(graph, graphs[graph.name])
    CONVERTERS["int8"]("satellite_encoder", graphs["satellite_encoder"], graphs["int8"])
