"""`verify` finds what was tampered with, also where the manifest was made to agree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sat2sound.checkpoints import read_safetensors, save_safetensors
from sat2sound.contract import MODELS
from sat2sound.errors import ConfigurationError
from sat2sound.export.branches import ranking_graphs, ranking_references
from sat2sound.export.gates import problem_lines
from sat2sound.export.inputs import BuildRequest
from sat2sound.export.manifest import file_digests, read_manifest, write_manifest
from sat2sound.export.onnx_graph import write_graph
from sat2sound.export.profiles import PROFILES
from sat2sound.export.references import FILE, read_references, write_references
from sat2sound.export.triton_config import parse, render
from sat2sound.export.verify import verify_repository
from sat2sound.gallery import make_gallery, read_gallery, write_gallery

GRAPHS_WITH_WEIGHTS = [name for name, model in MODELS.items() if model.kind == "onnx" and name != "query_scores"]
CODEBOOK_SIZE = 64  # of the small model
GALLERY = Path("gallery/1/gallery.parquet")
Tamper = Callable[[Path], None]


@pytest.fixture
def copied(small_repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_repository, tmp_path / "repository"))


def rewrite_manifest(folder: Path) -> None:
    """As somebody would who does not want a change to be noticed."""
    write_manifest(folder, read_manifest(folder) or {})
    assert (read_manifest(folder) or {})["files"] == file_digests(folder)


def problems(folder: Path, **options: str) -> list[str]:
    return problem_lines(verify_repository(folder, **options))  # type: ignore[arg-type]


def change(path: Path, edit: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(str(path))
    edit(model)
    onnx.save(model, str(path))


def scale_largest_weight(model: onnx.ModelProto) -> None:
    """But no codebook: the scale of what is mixed vanishes when the embedding is brought to unit length."""
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    floats = [
        tensor for tensor in model.graph.initializer if tensor.data_type in kinds and CODEBOOK_SIZE not in tensor.dims
    ]
    # The last of the largest ones: a layer norm after the first linear layer all but undoes a change of its scale.
    largest = max(enumerate(floats), key=lambda entry: (int(np.prod(entry[1].dims)), entry[0]))[1]
    values = numpy_helper.to_array(largest)
    changed = (values.astype(np.float32) * np.float32(1.01)).astype(values.dtype)
    assert (changed != values).any()
    largest.CopyFrom(numpy_helper.from_array(changed, largest.name))


def test_an_untouched_repository_passes_by_its_references_and_in_torch(
    small_repository: Path, small_request: BuildRequest
) -> None:
    stored = verify_repository(small_repository)
    assert problem_lines(stored) == []
    assert {result.gate for result in stored} >= {"files", "configuration", "interface", "values", "neighbours"}
    assert {result.gate for result in stored} >= {"embeddings", "top-1", "recall drop", "gallery", "gallery captions"}
    assert sum(result.gate == "values" for result in stored) == 8
    computed = verify_repository(small_repository, small_request.model)
    assert problem_lines(computed) == []
    assert len(computed) == len(stored)


@pytest.mark.parametrize("name", GRAPHS_WITH_WEIGHTS)
def test_a_weight_altered_by_one_percent_is_found(copied: Path, name: str) -> None:
    change(copied / name / "1" / "model.onnx", scale_largest_weight)
    assert any("was changed since the build" in line for line in problems(copied))
    rewrite_manifest(copied)
    assert any(line.startswith(f"{name}: ") and "differs by" in line for line in problems(copied))


def test_a_change_too_small_to_show_in_numbers_is_found(copied: Path) -> None:
    def nudge(model: onnx.ModelProto) -> None:
        codebook = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [CODEBOOK_SIZE, 48])
        values = numpy_helper.to_array(codebook).copy()
        values[0, 0] *= np.float32(1.01)
        codebook.CopyFrom(numpy_helper.from_array(values, codebook.name))

    change(copied / "text_pooling" / "1" / "model.onnx", nudge)
    rewrite_manifest(copied)
    assert any("text_pooling: model.onnx or its external data is not the file" in line for line in problems(copied))


def rename_output(folder: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.output[:] = ["EMBEDDINGS" if output == "EMBEDDING" else output for output in node.output]
        model.graph.output[0].name = "EMBEDDINGS"

    change(folder / "audio_pooling" / "1" / "model.onnx", edit)


def change_dims(folder: Path) -> None:
    path = folder / "satellite_pooling" / "config.pbtxt"
    text = path.read_text()
    assert "dims: 48\n" in text
    path.write_text(text.replace("dims: 48\n", "dims: 64\n"))


def reorder_gallery(folder: Path) -> None:
    """Captions with each other's embeddings; the similarity graph stays."""
    gallery = read_gallery(folder / GALLERY)
    write_gallery(folder / GALLERY, make_gallery(gallery.entries, gallery.embeddings[::-1], gallery.model))


def other_gallery(folder: Path) -> None:
    """A consistent gallery, similarity graph and references, but embedded by another model."""
    gallery = read_gallery(folder / GALLERY)
    random = np.random.default_rng(1).standard_normal(gallery.embeddings.shape)
    foreign = make_gallery(gallery.entries, random / np.linalg.norm(random, axis=1, keepdims=True), gallery.model)
    write_gallery(folder / GALLERY, foreign)
    graphs = ranking_graphs(foreign, len(foreign.entries))
    write_graph(graphs["similarity"], folder / "similarity" / "1" / "model.onnx")
    references = read_references(folder / FILE).joined(ranking_references(graphs, foreign))
    write_references(folder / FILE, references)


def change_backend(folder: Path) -> None:
    path = folder / "text_pooling" / "config.pbtxt"
    config = parse(path.read_text())
    config.backend = "python"
    path.write_text(render(config))


def break_graph(folder: Path) -> None:
    (folder / "text_encoder" / "1" / "model.onnx").write_bytes(b"not a graph")


def lose_references(folder: Path) -> None:
    (folder / FILE).unlink()


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (rename_output, "audio_pooling: outputs are ['EMBEDDINGS'], expected ['EMBEDDING']"),
        (change_dims, "satellite_pooling: output EMBEDDING has shape ['batch', 48] in the graph, [-1, 64] in the"),
        (reorder_gallery, "gallery: its digest is not the one in the similarity graph"),
        (other_gallery, "captions are embedded otherwise by this model"),
        (break_graph, "text_encoder: model.onnx is not a readable ONNX file"),
        (lose_references, "holds no reference inputs and outputs"),
    ],
)
def test_tampering_is_found_with_a_manifest_that_agrees(copied: Path, tamper: Tamper, expected: str) -> None:
    tamper(copied)
    rewrite_manifest(copied)
    found = problems(copied)
    assert any(expected in line for line in found), found


@pytest.mark.parametrize("profile", sorted(PROFILES.keys() - {"cpu"}))
def test_every_profile_passes_and_one_report_names_all_that_was_tampered_with(
    profile: str, small_repositories: dict[str, Path], tmp_path: Path
) -> None:
    """Weights by their digest: in fewer than 24 bits, one percent is within what the values gate allows."""
    untouched = verify_repository(small_repositories[profile])
    assert problem_lines(untouched) == []
    only_now = ("files", "weights", "configuration", "engines")
    built = (read_manifest(small_repositories[profile]) or {})["gates"]
    assert sorted((entry["gate"], entry["subject"]) for entry in built) == sorted(
        (result.gate, result.subject) for result in untouched if result.gate not in only_now
    )
    folder = Path(shutil.copytree(small_repositories[profile], tmp_path / "repository"))
    converted = set(PROFILES[profile].precisions)
    for name in converted:
        change(folder / name / "1" / "model.onnx", scale_largest_weight)
    for tamper in (rename_output, change_dims, other_gallery, change_backend):
        tamper(folder)
    rewrite_manifest(folder)
    found = problems(folder)
    other_files = {line.split(":")[0] for line in found if "is not the file that passed the gates" in line}
    assert other_files == converted | {"audio_pooling", "similarity", "gallery"}
    backend = "tensorrt" if "text_pooling" in PROFILES[profile].engines else "onnxruntime"
    for expected in (
        "audio_pooling: outputs are ['EMBEDDINGS'], expected ['EMBEDDING']",
        "satellite_pooling: output EMBEDDING has shape ['batch', 48] in the graph, [-1, 64] in the",
        "captions are embedded otherwise by this model",
        f"text_pooling: backend in config.pbtxt is 'python', expected '{backend}'",
    ):
        assert any(expected in line for line in found), found


def test_against_another_checkpoint_it_fails(
    small_repository: Path, small_request: BuildRequest, tmp_path: Path
) -> None:
    config, state = read_safetensors(Path(small_request.model))
    state["audio.norm.weight"] = state["audio.norm.weight"] * 1.01
    other = tmp_path / "other.safetensors"
    save_safetensors(other, config, state)
    found = problems(small_repository, against=str(other))
    assert any(line.startswith("audio_encoder: TOKENS of one recording") for line in found)
    assert not any(line.startswith(("satellite", "text")) for line in found)


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no manifest\.json"):
        verify_repository(tmp_path)
