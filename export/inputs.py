"""What a build is made of, as digests: of the whole repository without loading a model, and of each graph alone."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sat2sound.checkpoints import locate, read_safetensors
from sat2sound.configs import ModelConfig, load_config
from sat2sound.digests import file_sha256
from sat2sound.export.limits import EXTERNAL_DATA_ABOVE
from sat2sound.export.profiles import MAX_K, PROFILES, Profile
from sat2sound.gallery import CAPTIONS
from sat2sound.models.text_encoder import text_encoder_files

_PACKAGE = Path(__file__).resolve().parent
_ROOT = _PACKAGE.parent
# Every Python file of these decides what is in a repository or in a graph of it.
_SOURCES = (_PACKAGE, *(_ROOT / "sat2sound" / name for name in ("models", "gallery", "preprocessing", "configs")))
_MODULES = ("contract", "checkpoints", "published", "hyperparameters", "satellite_types")
_GRAPH_SOURCES = ("graphs.py", "branches.py", "onnx_graph.py", "conversion.py", "cases.py", "references.py")
# Preprocessing too: reference inputs and the gallery's embeddings go through it.
_GRAPH_FOLDERS = (
    *(_PACKAGE / name for name in ("precision", "samples", "gates")),
    *(_ROOT / "sat2sound" / name for name in ("models", "preprocessing", "gallery")),
)
_PUBLISHED = "bingmap-withmeta"
_VERSIONS = ("torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "numpy", "pyarrow")


@dataclass(frozen=True)
class BuildRequest:
    """What a person asks for.

    model: "starter", a checkpoint file or a hub name. profile: one of `PROFILES`. gallery: CSV of captions.
    text_encoder: folder of the frozen text encoder, where the hub cannot be reached. external_data_above: bytes of
    weights above which a graph keeps them in a file of their own.
    """

    model: str = "starter"
    profile: Profile = PROFILES["cpu"]
    gallery: Path = CAPTIONS
    text_encoder: Path | None = None
    external_data_above: int = EXTERNAL_DATA_ABOVE

    def with_gallery(self, path: Path) -> BuildRequest:
        """The same with another gallery."""
        return dataclasses.replace(self, gallery=path)


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide what a graph looks like."""
    return {name: importlib.metadata.version(name) for name in _VERSIONS}


def inputs_digest(request: BuildRequest) -> str:
    """SHA-256 over all that decides what a build contains, without loading a model."""
    python = [path for folder in _SOURCES for path in sorted(folder.rglob("*.py"))]
    sources = [
        *python,
        *sorted((_ROOT / "sat2sound" / "configs").glob("*.json")),
        *(_ROOT / "sat2sound" / f"{name}.py" for name in _MODULES),
        *sorted((_ROOT / "model_repository").glob("*/1/*.py")),
        CAPTIONS,  # reference texts, whatever the gallery is
        request.gallery,
        locate(request.model),
    ]
    # Names count, places do not: the same sources elsewhere make the same repository.
    named = [(path.name, file_sha256(path)) for path in sources]
    named += [(path.name, file_sha256(path)) for path in sorted(encoder_files(request), key=lambda path: path.name)]
    return _digest({"files": named, **_settings(request)})


def graph_base_digest(request: BuildRequest, config: ModelConfig) -> str:
    """SHA-256 over what all graphs of a build share: sources, versions, architecture, threshold of external data."""
    python = [path for folder in _GRAPH_FOLDERS for path in sorted(folder.rglob("*.py"))]
    sources = [*python, *(_PACKAGE / name for name in _GRAPH_SOURCES), _ROOT / "sat2sound" / "contract.py", CAPTIONS]
    architecture = dataclasses.asdict(config)
    architecture["text"].pop("encoder")  # its weights count, not where they were found
    files = [(path.name, file_sha256(path)) for path in sources]
    return _digest({"files": files, "config": architecture, **_settings(request), "profile": None})


def graph_key(base: str, name: str, precision: str, weights: Mapping[str, str], tokenizer: Path) -> str:
    """SHA-256 that identifies one graph with its reference outputs. weights: hexadecimal digest by parameter name.

    The tokenizer counts for the text branch, since reference inputs went through it.
    """
    words = file_sha256(tokenizer) if name.startswith("text_") else None
    return _digest({"base": base, "name": name, "precision": precision, "weights": dict(weights), "tokenizer": words})


def gallery_key(text_graphs: Sequence[str], model: str, gallery: Path) -> str:
    """SHA-256 over what decides a gallery's embeddings: captions, and the text branch with tokenizer and preprocessing.

    text_graphs: keys of text_encoder and text_pooling. model: its name, which the gallery holds.
    """
    return _digest({"made of": list(text_graphs), "model": model, "captions": file_sha256(gallery)})


def encoder_files(request: BuildRequest) -> list[Path]:
    """Files of the frozen text encoder and its tokenizer. Raises TextEncoderError."""
    return text_encoder_files(request.text_encoder or _configured_encoder(request.model))


def _configured_encoder(model: str) -> str:
    path = locate(model)
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0].text.encoder
    return load_config(_PUBLISHED).text.encoder  # the same for all of them; reading it would unpickle gigabytes


def _settings(request: BuildRequest) -> dict[str, object]:
    return {
        "versions": versions(),
        "profile": repr(request.profile),
        "max_k": MAX_K,
        "external_data_above": request.external_data_above,
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
