"""A stored engine is reused under its own key, whole, and under no other."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sat2sound.errors import ConfigurationError
from sat2sound.export.tensorrt.keys import EngineKey
from sat2sound.export.tensorrt.store import EngineStore

KEY = EngineKey(onnx="ab" * 32, compute_capability="9.0", tensorrt="10.13.3.9", shapes="{}", settings="made")


class Builder:
    """Writes bytes in an engine's place, and counts."""

    def __init__(self, content: bytes = b"an engine") -> None:
        self.content, self.calls = content, 0

    def __call__(self, path: Path) -> None:
        self.calls += 1
        path.write_bytes(self.content)


def test_the_same_key_is_built_once(tmp_path: Path) -> None:
    build = Builder()
    first, was_there = EngineStore(tmp_path / "store").get(KEY, "audio_encoder", "H100", build)
    again, is_there = EngineStore(tmp_path / "store").get(KEY, "audio_encoder", "H100", build)
    assert (was_there, is_there, build.calls) == (False, True, 1)
    assert again == first
    assert first.path.read_bytes() == b"an engine"
    assert [engine.graph for engine in EngineStore(tmp_path / "store").engines()] == ["audio_encoder"]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EngineKey)])
def test_another_key_is_another_engine(field: str, tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    store.get(KEY, "audio_encoder", "H100", Builder())
    other = dataclasses.replace(KEY, **{field: "other"})
    assert store.find(other) is None
    engine, was_there = store.get(other, "audio_encoder", "H100", Builder(b"the other"))
    assert not was_there
    assert engine.path.read_bytes() == b"the other"
    kept = store.find(KEY)
    assert kept is not None
    assert kept.path.read_bytes() == b"an engine"


def renamed_engine(folder: Path) -> None:
    """Somebody puts the engine of another key under this key's name."""
    other = dataclasses.replace(KEY, compute_capability="8.9")
    EngineStore(folder).get(other, "audio_encoder", "L4", Builder(b"for another GPU"))
    for kind in ("plan", "json"):
        shutil.copy(folder / f"{other.digest}.{kind}", folder / f"{KEY.digest}.{kind}")


def truncated(folder: Path) -> None:
    (folder / f"{KEY.digest}.plan").write_bytes(b"an eng")


def without_facts(folder: Path) -> None:
    (folder / f"{KEY.digest}.json").unlink()


def without_engine(folder: Path) -> None:
    (folder / f"{KEY.digest}.plan").unlink()


def rubbish(folder: Path) -> None:
    (folder / f"{KEY.digest}.json").write_text("[]")


@pytest.mark.parametrize("damage", [renamed_engine, truncated, without_facts, without_engine, rubbish])
def test_a_damaged_entry_is_built_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    store.get(KEY, "audio_encoder", "H100", Builder())
    damage(tmp_path)
    assert store.find(KEY) is None
    engine, was_there = store.get(KEY, "audio_encoder", "H100", Builder(b"built again"))
    assert not was_there
    assert engine.path.read_bytes() == b"built again"
    assert store.find(KEY) == engine


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half an")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        EngineStore(tmp_path).get(KEY, "audio_encoder", "H100", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder"):
        list(EngineStore(tmp_path / "nowhere").engines())


def test_timing_caches_are_apart_by_gpu_and_version(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    others = [dataclasses.replace(KEY, compute_capability="8.9"), dataclasses.replace(KEY, tensorrt="11.0.0.1")]
    assert len({store.timing_cache(key) for key in (KEY, *others)}) == 3
