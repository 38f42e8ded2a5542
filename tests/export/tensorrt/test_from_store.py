"""Serving nodes take all engines of their GPU from the store, or none and say which are missing.

Device and engines are made up: there is no GPU here.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from made_engines import ADA, HOPPER, stored

from sat2sound.errors import GateFailure
from sat2sound.export.gates import GateResult, problem_lines
from sat2sound.export.manifest import file_digests
from sat2sound.export.tensorrt import placing
from sat2sound.export.tensorrt.from_store import EnginesMissing, place_from_store
from sat2sound.export.tensorrt.placing import build_engines, plan_engines
from sat2sound.export.tensorrt.store import EngineStore
from sat2sound.export.triton_config import parse
from sat2sound.export.verify import verify_repository


@pytest.fixture
def copied(small_repositories: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_repositories["tensorrt"], tmp_path / "repository"))


def test_the_engines_of_this_gpu_are_placed(copied: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    for device in (HOPPER, ADA):
        stored(copied, device, folder)
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)  # a pod mounts it to read
    placed = place_from_store(copied, EngineStore(folder), ADA)
    assert {engine.key.compute_capability for engine in placed} == {"8.9"}
    for name, key in plan_engines(copied).keys(ADA).items():
        config = parse((copied / name / "config.pbtxt").read_text())
        assert dict(config.cc_model_filenames) == {"8.9": key.file}
        assert (copied / name / "1" / key.file).read_bytes() == key.digest.encode()
    assert problem_lines(verify_repository(copied)) == []
    folder.chmod(0o755)


def test_what_is_missing_is_named_and_nothing_changes(copied: Path, tmp_path: Path) -> None:
    before = file_digests(copied)
    engines = stored(copied, HOPPER, tmp_path / "store")
    store = EngineStore(tmp_path / "store")
    with pytest.raises(
        EnginesMissing, match=r"compute capability 8\.9, TensorRT 10\.13\.3\.9.*engines build"
    ) as missing:
        place_from_store(copied, store, ADA)
    assert set(missing.value.graphs) == engines.keys()
    with pytest.raises(EnginesMissing, match=r"TensorRT 10\.14"):
        place_from_store(copied, store, dataclasses.replace(HOPPER, tensorrt="10.14.0.1"))
    engines["audio_encoder"].path.write_bytes(b"damaged")
    with pytest.raises(EnginesMissing) as missing:
        place_from_store(copied, store, HOPPER)
    assert missing.value.graphs == ("audio_encoder",)
    with pytest.raises(EnginesMissing):
        place_from_store(copied, EngineStore(tmp_path / "nowhere"), HOPPER)
    assert file_digests(copied) == before


def test_an_engine_that_differs_is_not_stored(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a GPU: a device by name, a builder that writes bytes, a comparison that one graph fails."""
    before = file_digests(copied)
    monkeypatch.setattr(placing, "find_device", lambda: HOPPER)
    monkeypatch.setattr(placing, "build_engine", lambda *arguments: arguments[-1].write_bytes(b"an engine"))

    def check(name: str, *_: object) -> GateResult:
        return GateResult("TensorRT values", name, problems=("too far",) if name == "audio_encoder" else ())

    monkeypatch.setattr(placing, "check_engine", check)
    store = EngineStore(tmp_path / "store")
    with pytest.raises(GateFailure, match="audio_encoder: too far"):
        build_engines(copied, store)
    assert file_digests(copied) == before
    graphs = plan_engines(copied).files.keys()
    assert {engine.graph for engine in store.engines()} == graphs - {"audio_encoder"}
    with pytest.raises(EnginesMissing, match="no engine of audio_encoder"):
        place_from_store(copied, store, HOPPER)

    monkeypatch.setattr(placing, "check_engine", lambda name, *_: GateResult("TensorRT values", name))
    lines: list[str] = []
    assert len(build_engines(copied, store, progress=lines.append)) == len(graphs)
    assert sum("reused" in line for line in lines) == len(graphs) - 1
    assert sum("built" in line for line in lines) == 1
