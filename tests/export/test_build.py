"""Builds are reproducible, incremental and atomic."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from shared_data import ROOT
from small_model import CAPTIONS

from sat2sound.checkpoints import read_safetensors, save_safetensors
from sat2sound.clients.description import describe_repository
from sat2sound.contract import MODELS
from sat2sound.digests import file_sha256
from sat2sound.errors import ConfigurationError, GateFailure
from sat2sound.export.branches import ranking_graphs, ranking_references
from sat2sound.export.build import ensure_repository
from sat2sound.export.gates import check_graph, tolerances
from sat2sound.export.inputs import BuildRequest, graph_base_digest, inputs_digest
from sat2sound.export.manifest import file_digests, read_manifest, write_manifest
from sat2sound.export.onnx_graph import write_graph
from sat2sound.export.passed import digests, subject_files
from sat2sound.export.previous import PreviousBuild
from sat2sound.export.references import FILE, read_references, write_references
from sat2sound.gallery import CAPTIONS as PROJECT_CAPTIONS
from sat2sound.gallery import make_gallery, read_gallery, write_gallery

CAPTION_WORDS = [caption.split() for caption in CAPTIONS]
GRAPHS = {name for name, model in MODELS.items() if model.kind == "onnx"}


def build(destination: Path, request: BuildRequest) -> set[str]:
    """Which graphs were reused."""
    events: list[tuple[str, str]] = []
    ensure_repository(destination, request, watch=events.append)
    assert {name for name, stage in events if stage in ("done", "reused")} in (GRAPHS, set())
    return {name for name, stage in events if stage == "reused"}


@pytest.fixture
def copied(small_repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_repository, tmp_path / "repository"))


def test_the_same_inputs_give_the_same_digests(
    small_repository: Path, small_request: BuildRequest, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "moved"
    shutil.copytree(Path(small_request.model).parent, elsewhere)
    moved = BuildRequest(
        str(elsewhere / "small.safetensors"), gallery=elsewhere / "captions.csv", text_encoder=elsewhere / "t5"
    )
    again = ensure_repository(tmp_path / "again", moved)
    assert file_digests(again) == file_digests(small_repository)
    one, other = read_manifest(again) or {}, read_manifest(small_repository) or {}
    assert one["digest"] == other["digest"]
    assert one["inputs"] == other["inputs"]
    assert str(tmp_path) not in json.dumps(one)
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in again.rglob("*") if path.is_file())


def test_the_manifest_names_model_checkpoint_versions_and_gates(small_repository: Path) -> None:
    manifest = read_manifest(small_repository) or {}
    assert (manifest["model"], manifest["profile"], manifest["max_k"]) == ("small", "cpu", 5)
    assert {"torch", "onnx", "onnxscript", "onnxruntime", "transformers"} <= manifest["versions"].keys()
    assert "model.safetensors" in manifest["text_encoder"]
    assert manifest["graphs"].keys() == GRAPHS
    assert {gate["gate"] for gate in manifest["gates"]} >= {"interface", "values", "neighbours", "top-1", "gallery"}
    assert all(gate["problems"] == [] for gate in manifest["gates"])


def test_only_what_changed_is_built_again(copied: Path, small_request: BuildRequest, tmp_path: Path) -> None:
    assert build(copied, small_request) == set()  # nothing was to be done at all
    captions = tmp_path / "captions.csv"
    captions.write_text(small_request.gallery.read_text() + "9,waves and birds\n")
    request = small_request.with_gallery(captions)
    assert build(copied, request) == GRAPHS - {"similarity"}
    assert len(read_gallery(copied / "gallery" / "1" / "gallery.parquet").entries) == 6

    config, state = read_safetensors(Path(small_request.model))
    state["audio.norm.bias"] = state["audio.norm.bias"] + 0.5
    changed = tmp_path / "changed.safetensors"
    save_safetensors(changed, config, state)
    request = dataclasses.replace(request, model=str(changed))
    assert build(copied, request) == GRAPHS - {
        "audio_encoder",
        "audio_pooling",
    }

    damaged = copied / "query_scores" / "1" / "model.onnx"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert build(copied, request) == GRAPHS - {"query_scores"}


def change_weight(folder: Path) -> str:
    """A codebook entry in one graph, too little to show in numbers; which graph."""
    path = folder / "text_pooling" / "1" / "model.onnx"
    model = onnx.load(str(path))
    codebook = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [64, 48])
    values = numpy_helper.to_array(codebook).copy()
    values[0, 0] *= np.float32(1.01)
    codebook.CopyFrom(numpy_helper.from_array(values, codebook.name))
    onnx.save(model, str(path))
    return "text_pooling"


def change_gallery(folder: Path) -> str:
    """Two captions change places; the graph that knows their digest."""
    path = folder / "gallery" / "1" / "gallery.parquet"
    gallery = read_gallery(path)
    entries = [gallery.entries[1], gallery.entries[0], *gallery.entries[2:]]
    write_gallery(path, make_gallery(entries, gallery.embeddings, gallery.model))
    return "similarity"


@pytest.mark.parametrize("change", [change_weight, change_gallery])
def test_a_tampered_repository_is_built_again(
    change: Callable[[Path], str], copied: Path, small_request: BuildRequest, small_repository: Path
) -> None:
    change(copied)
    write_manifest(copied, read_manifest(copied) or {})  # it says that all is up to date
    build(copied, small_request)
    assert file_digests(copied) == file_digests(small_repository)


def test_a_tampered_graph_is_not_taken_for_a_build_with_another_gallery(
    copied: Path, small_request: BuildRequest, tmp_path: Path
) -> None:
    changed = change_weight(copied)
    write_manifest(copied, read_manifest(copied) or {})
    captions = tmp_path / "captions.csv"
    captions.write_text(small_request.gallery.read_text() + "9,waves and birds\n")
    assert changed not in build(copied, small_request.with_gallery(captions))


def test_another_tokenizer_makes_the_text_branch_and_the_gallery_anew(
    copied: Path, small_request: BuildRequest, tmp_path: Path
) -> None:
    encoder = Path(shutil.copytree(Path(small_request.model).parent / "t5", tmp_path / "t5"))
    tokenizer = encoder / "tokenizer.json"
    vocabulary = json.loads(tokenizer.read_text())
    ids = vocabulary["model"]["vocab"]
    ids["waves"], ids["birds"] = ids["birds"], ids["waves"]
    tokenizer.write_text(json.dumps(vocabulary))
    request = dataclasses.replace(small_request, text_encoder=encoder)
    before = read_gallery(copied / "gallery" / "1" / "gallery.parquet").embeddings
    assert build(copied, request) == GRAPHS - {"text_encoder", "text_pooling", "similarity"}
    after = read_gallery(copied / "gallery" / "1" / "gallery.parquet").embeddings
    changed = [entry for entry, same in zip(CAPTION_WORDS, (before == after).all(axis=1), strict=True) if not same]
    assert changed == [words for words in CAPTION_WORDS if {"waves", "birds"} & set(words)]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("preprocessing", "text.py"), ("preprocessing", "log_mel.py"), ("gallery", "captions.py")],
)
def test_sources_of_preprocessing_decide_graphs_and_gallery(
    folder: str, name: str, small_request: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = read_safetensors(Path(small_request.model))
    before = graph_base_digest(small_request, config), inputs_digest(small_request)
    pretend_changed(ROOT / "sat2sound" / folder / name, monkeypatch)
    after = graph_base_digest(small_request, config), inputs_digest(small_request)
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_the_reference_texts_decide_a_build_whatever_its_gallery(
    small_request: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = inputs_digest(small_request)
    pretend_changed(PROJECT_CAPTIONS, monkeypatch)
    assert small_request.gallery != PROJECT_CAPTIONS
    assert inputs_digest(small_request) != before


def pretend_changed(changed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's digest becomes another one."""
    monkeypatch.setattr(
        "sat2sound.export.inputs.file_sha256",
        lambda path: "changed" if Path(path).resolve() == changed.resolve() else file_sha256(path),
    )


def test_what_decides_a_build_is_in_its_digest(small_request: BuildRequest, tmp_path: Path) -> None:
    encoder = Path(shutil.copytree(Path(small_request.model).parent / "t5", tmp_path / "t5"))
    same = dataclasses.replace(small_request, text_encoder=encoder)
    assert inputs_digest(same) == inputs_digest(small_request)
    for name in ("tokenizer.json", "model.safetensors"):
        before = inputs_digest(same)
        with (encoder / name).open("ab") as file:
            file.write(b" ")
        assert inputs_digest(same) != before
    captions = tmp_path / "captions.csv"
    captions.write_text(small_request.gallery.read_text() + "9,waves\n")
    others = {inputs_digest(small_request), inputs_digest(small_request.with_gallery(captions))}
    assert len(others | {inputs_digest(dataclasses.replace(small_request, external_data_above=7))}) == 3


def test_a_killed_build_leaves_the_old_repository_and_the_next_one_cleans_up(
    copied: Path, small_request: BuildRequest, tmp_path: Path
) -> None:
    before = file_digests(copied)
    captions = tmp_path / "captions.csv"
    captions.write_text(small_request.gallery.read_text() + "9,waves and birds\n")
    command = [str(Path(sys.executable).with_name("sat2sound")), "export", "--model", small_request.model]
    arguments = [*command, "--gallery", str(captions), "--out", str(copied)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as builder:
        assert builder.stderr is not None
        said = ""
        while "exporting similarity" not in said:
            line = builder.stderr.readline()
            assert line, said
            said += line
        builder.send_signal(signal.SIGKILL)
    assert file_digests(copied) == before
    assert any((tmp_path / ".repository.build").iterdir())
    assert build(copied, small_request.with_gallery(captions)) == GRAPHS - {"similarity"}
    assert not (tmp_path / ".repository.build").exists()


def test_a_build_that_fails_its_gates_lists_all_problems_and_changes_nothing(
    copied: Path, small_request: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file_digests(copied)
    captions = tmp_path / "captions.csv"
    captions.write_text(small_request.gallery.read_text() + "9,waves and birds\n")
    strict = dataclasses.replace(tolerances.TOLERANCES["ranking", "float32"], value=0.0)
    monkeypatch.setitem(tolerances.TOLERANCES, ("ranking", "float32"), strict)
    (copied / "query_scores" / "1" / "model.onnx").unlink()
    with pytest.raises(GateFailure) as caught:
        ensure_repository(copied, small_request.with_gallery(captions))
    failing = {line.split(":")[0] for line in caught.value.problems}
    assert failing == {"similarity", "query_scores"}
    assert {name: digest for name, digest in before.items() if "query_scores/1" not in name} == file_digests(copied)


def test_what_cannot_be_used_is_said_before_any_work(small_request: BuildRequest, tmp_path: Path) -> None:
    def refused(destination: Path, gallery: Path, expected: str) -> None:
        steps: list[str] = []
        with pytest.raises(ConfigurationError, match=expected):
            ensure_repository(destination, small_request.with_gallery(gallery), progress=steps.append)
        assert steps == []

    captions = tmp_path / "captions.csv"
    captions.write_text("id,text\n1,waves\n")
    refused(tmp_path / "repository", captions, "lacks the columns caption")
    refused(tmp_path / "repository", tmp_path / "absent.csv", "absent.csv is not a readable CSV file")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    refused(other, small_request.gallery, "not empty and not a model repository")
    refused(other / "thesis.txt", small_request.gallery, "is a file")
    refused(other / "thesis.txt" / "repository", small_request.gallery, "cannot be made")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.csv", "other"]


def test_a_large_graph_keeps_its_weights_beside_it(small_repository: Path, tmp_path: Path) -> None:
    gallery = read_gallery(small_repository / "gallery" / "1" / "gallery.parquet")
    graph = ranking_graphs(gallery, 5)["similarity"]
    path = tmp_path / "similarity.onnx"
    write_graph(graph, path, external_data_above=100)
    data = path.with_name("similarity.onnx.data")
    assert data.stat().st_size >= gallery.embeddings.nbytes
    cases = ranking_references({"similarity": graph}, gallery).graphs["similarity"]
    dimensions = describe_repository(small_repository).config.dimensions(5)
    results = check_graph(graph.contract, dimensions, path, "float32", cases)
    assert [result.problems for result in results] == [(), (), ()]
    data.unlink()
    (loading,) = [
        result for result in check_graph(graph.contract, dimensions, path, "float32", cases) if result.problems
    ]
    assert "cannot load" in loading.problems[0]


def test_external_data_is_reused_with_its_graph(small_repository: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_repository, tmp_path / "repository"))
    data = folder / "similarity" / "1" / "similarity.onnx.data"
    data.write_bytes(b"weights")
    passed = {subject: digests(files) for subject, files in subject_files(folder).items()}
    write_references(folder / FILE, dataclasses.replace(read_references(folder / FILE), digests=passed))
    write_manifest(folder, read_manifest(folder) or {})
    key = (read_manifest(folder) or {})["graphs"]["similarity"]["key"]
    assert PreviousBuild(folder).take("similarity", key, tmp_path / "taken" / "similarity.onnx")
    assert (tmp_path / "taken" / "similarity.onnx.data").read_bytes() == b"weights"
    assert not PreviousBuild(folder).take("similarity", "another key", tmp_path / "other" / "similarity.onnx")
    data.write_bytes(b"other weights")
    assert not PreviousBuild(folder).take("similarity", key, tmp_path / "other" / "similarity.onnx")
