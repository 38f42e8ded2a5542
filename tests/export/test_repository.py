from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_repository import CONFIG, ENTRIES, tiny_gallery

from sat2sound.configs import ModelConfig
from sat2sound.contract import MODELS
from sat2sound.errors import ConfigurationError
from sat2sound.export.folders import replacing
from sat2sound.export.manifest import file_digests, read_manifest
from sat2sound.export.profiles import PROFILES
from sat2sound.export.repository import SOURCES, build_repository
from sat2sound.gallery import read_gallery


@pytest.fixture
def sources(tiny_repository: Path) -> dict[str, Any]:
    """Arguments of build_repository."""
    folder = tiny_repository.parent
    return {
        "graphs": folder / "graphs",
        "config": CONFIG,
        "gallery": folder / "gallery.parquet",
        "tokenizer": folder / "tokenizer.json",
        "profile": PROFILES["cpu"],
        "max_k": ENTRIES,
        "facts": {"made": "by a test"},
    }


def test_it_holds_every_model_with_all_it_needs(tiny_repository: Path) -> None:
    folders = {path.name for path in tiny_repository.iterdir() if path.is_dir()}
    assert folders == MODELS.keys()
    for contract in MODELS.values():
        version = tiny_repository / contract.name / "1"
        assert (tiny_repository / contract.name / "config.pbtxt").is_file()
        assert version.is_dir()
        if contract.kind == "onnx":
            source = tiny_repository.parent / "graphs" / f"{contract.name}.onnx"
            assert (version / "model.onnx").read_bytes() == source.read_bytes()
        if contract.kind == "python":
            assert (version / "model.py").read_bytes() == (SOURCES / contract.name / "1" / "model.py").read_bytes()
    for name in ("satellite_preprocess", "text_preprocess"):
        text = (tiny_repository / name / "1" / "sat2sound.json").read_text(encoding="utf-8")
        assert ModelConfig.from_json(text) == CONFIG
    assert read_gallery(tiny_repository / "gallery" / "1" / "gallery.parquet").digest == tiny_gallery().digest


def test_the_manifest_lists_every_file_with_its_digest(sources: dict[str, Any], tmp_path: Path) -> None:
    built = build_repository(tmp_path / "repository", **sources)
    manifest = json.loads((built / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == read_manifest(built)
    assert (manifest["made"], manifest["profile"], manifest["model"]) == ("by a test", "cpu", "starter")
    files = {path.relative_to(built).as_posix(): path for path in built.rglob("*") if path.is_file()}
    assert manifest["files"].keys() == files.keys() - {"manifest.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
    (built / "gallery" / "1" / "gallery.parquet").write_bytes(b"damaged")
    assert file_digests(built) != manifest["files"]


def test_a_missing_graph_is_named_and_the_old_repository_stays(
    sources: dict[str, Any], tmp_path: Path, tiny_repository: Path
) -> None:
    built = build_repository(tmp_path / "repository", **sources)
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    for path in sources["graphs"].iterdir():
        if path.stem != "audio_pooling":
            (graphs / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigurationError, match="lacks the graphs audio_pooling"):
        build_repository(built, **{**sources, "graphs": graphs})
    assert file_digests(built) == file_digests(tiny_repository)


def test_external_data_keeps_the_name_that_its_graph_gives_it(sources: dict[str, Any], tmp_path: Path) -> None:
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    for path in sources["graphs"].iterdir():
        (graphs / path.name).write_bytes(path.read_bytes())
    (graphs / "text_encoder.onnx.data").write_bytes(b"weights")
    built = build_repository(tmp_path / "repository", **{**sources, "graphs": graphs})
    assert (built / "text_encoder" / "1" / "text_encoder.onnx.data").read_bytes() == b"weights"
    assert (built / "text_encoder" / "1" / "model.onnx").is_file()


def test_a_folder_with_other_contents_is_never_replaced(sources: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="not a model repository"):
        build_repository(tmp_path, **sources)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_there_is_a_whole_repository_at_every_moment_of_a_rebuild(sources: dict[str, Any], tmp_path: Path) -> None:
    built = build_repository(tmp_path / "repository", **sources)
    gaps, looks, done = [], 0, threading.Event()

    def watch() -> None:
        nonlocal looks
        while not done.is_set():
            looks += 1
            try:
                (built / "manifest.json").stat()
                (built / "text_pooling" / "1" / "model.onnx").stat()
            except FileNotFoundError as gap:
                gaps.append(gap)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for turn in range(10):
            build_repository(built, **{**sources, "facts": {"turn": turn}})
    finally:
        done.set()
        watcher.join()
    assert looks > 100
    assert not gaps
    assert read_manifest(built)["turn"] == 9  # type: ignore[index]


def test_a_killed_build_leaves_the_old_repository_and_the_next_one_cleans_up(
    sources: dict[str, Any], tmp_path: Path
) -> None:
    built = build_repository(tmp_path / "repository", **sources)
    before = file_digests(built)
    program = (
        "import sys, time\n"
        "from pathlib import Path; from sat2sound.export.folders import replacing\n"
        "with replacing(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('written'); print('writing', flush=True); time.sleep(60)\n"
    )
    arguments = [sys.executable, "-c", program, str(built)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(signal.SIGKILL)
    assert file_digests(built) == before
    assert len(list(tmp_path.glob(".repository.partial-*"))) == 1
    build_repository(built, **sources)
    assert {path.name for path in tmp_path.iterdir()} == {"repository", ".repository.lock"}


def test_writers_of_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    order: list[str] = []

    def write(name: str) -> None:
        with replacing(tmp_path / "folder") as folder:
            order.append(f"{name} begins")
            (folder / name).write_text(name)
            time.sleep(0.1)
            order.append(f"{name} ends")

    writers = [threading.Thread(target=write, args=(name,)) for name in ("first", "second")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    one, other = order[0].split()[0], order[2].split()[0]
    assert order == [f"{one} begins", f"{one} ends", f"{other} begins", f"{other} ends"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == [other]


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()

    def fail() -> None:
        with replacing(tmp_path / "folder") as folder:
            (folder / "new").touch()
            raise ValueError("in the midst")

    with pytest.raises(ValueError, match="in the midst"):
        fail()
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {
        ".folder.lock",
        "folder",
        "folder/old",
    }


def test_where_folders_cannot_be_exchanged_they_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sat2sound.export.folders._exchange", lambda one, other: False)
    for name in ("old", "new"):
        with replacing(tmp_path / "folder") as folder:
            (folder / name).touch()
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {
        ".folder.lock",
        "folder",
        "folder/new",
    }
