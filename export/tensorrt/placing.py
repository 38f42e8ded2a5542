"""Engines for one repository on this node: taken from the store or built, compared, and put where Triton finds them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sat2sound.configs import ModelConfig
from sat2sound.errors import ConfigurationError, GateFailure
from sat2sound.export.folders import replacing
from sat2sound.export.gates import GateResult, require
from sat2sound.export.manifest import MANIFEST, read_manifest, write_manifest
from sat2sound.export.profiles import Profile, find_profile
from sat2sound.export.references import FILE as REFERENCES
from sat2sound.export.references import read_references
from sat2sound.export.repository import VERSION
from sat2sound.export.tensorrt.accuracy import check_engine
from sat2sound.export.tensorrt.building import build_engine
from sat2sound.export.tensorrt.device import Device, find_device
from sat2sound.export.tensorrt.keys import EngineKey, engine_key
from sat2sound.export.tensorrt.shapes import Shapes, engine_shapes
from sat2sound.export.tensorrt.store import EngineStore, StoredEngine
from sat2sound.export.tensorrt.supported import check_supported
from sat2sound.export.triton_config import parse, render

_CONFIG = Path("satellite_preprocess", VERSION, "sat2sound.json")
_DIFFER = "engines compute something else than their graphs"
Compare = Callable[[Path], GateResult]


@dataclass(frozen=True)
class Plan:
    """What a repository needs on one device. keys, shapes: by graph."""

    profile: Profile
    files: Mapping[str, Path]
    shapes: Mapping[str, Shapes]

    def keys(self, device: Device) -> dict[str, EngineKey]:
        """The key of each graph's engine."""
        return {
            name: engine_key(path, self.profile.precision(name), self.shapes[name], device)
            for name, path in self.files.items()
        }


def plan_engines(repository: Path) -> Plan:
    """Read a repository. Raises ConfigurationError if it is none of profile tensorrt, GateFailure for its graphs."""
    manifest = read_manifest(repository) or {}
    if manifest.get("profile") is None:
        raise ConfigurationError(
            f"{repository} is no model repository; run `sat2sound export --profile tensorrt` first"
        )
    profile = find_profile(str(manifest["profile"]))
    if not profile.engines:
        raise ConfigurationError(
            f"{repository} has profile {profile.name}, which uses no engines; export with tensorrt"
        )
    config = ModelConfig.from_json((repository / _CONFIG).read_text(encoding="utf-8"))
    files = {name: repository / name / VERSION / "model.onnx" for name in profile.engines}
    require("TensorRT cannot build the graphs", check_supported(profile, files))
    shapes = {name: engine_shapes(name, config, profile, int(manifest["max_k"])) for name in files}
    return Plan(profile, files, shapes)


def build_engines(
    repository: Path, store: EngineStore, *, progress: Callable[[str], None] = lambda message: None
) -> list[StoredEngine]:
    """Build what the store lacks for this node's GPU, compare every engine with onnxruntime, and place all of them.

    Only engines that passed the comparison are stored. Returns the engines. Raises TensorRTUnavailable,
    ConfigurationError, GateFailure (then the repository stays as it was), EngineBuildFailed.
    """
    plan = plan_engines(repository)
    device = find_device()
    cases = read_references(repository / REFERENCES).graphs
    engines, results = {}, []
    for name, key in plan.keys(device).items():
        progress(f"{name}: engine {key.digest[:12]} for {device.name} ({device.compute_capability})")

        def compare(path: Path, name: str = name) -> GateResult:
            results.append(check_engine(name, plan.profile.precision(name), plan.files[name], path, cases[name]))
            return results[-1]

        def build(path: Path, name: str = name, key: EngineKey = key, compare: Compare = compare) -> None:
            precision = plan.profile.precision(name)
            build_engine(plan.files[name], precision, plan.shapes[name], store.timing_cache(key), path)
            progress(f"{name}: built; comparing")
            require(_DIFFER, [compare(path)])  # before it is in the store, from which serving nodes take it as it is

        try:
            engines[name], reused = store.get(key, name, device.name, build)
        except GateFailure:
            continue  # in the results; the other engines are built nevertheless, so that all problems are seen
        if reused:
            progress(f"{name}: reused; comparing")
            compare(engines[name].path)
    require(_DIFFER, results)
    place_engines(repository, engines)
    return list(engines.values())


def place_engines(repository: Path, engines: Mapping[str, StoredEngine]) -> None:
    """Copy engines into a repository, name them in its configurations by compute capability, and rewrite its manifest.

    The repository is the old one or the new one at any moment. An engine of the same compute capability that was there
    is removed; those of others stay.
    """
    manifest = read_manifest(repository) or {}
    repository = repository.resolve()
    known: dict[str, Any] = {name: dict(parts) for name, parts in manifest.get("engines", {}).items()}
    with replacing(repository) as folder:
        # Links: only what changes is written anew.
        shutil.copytree(repository, folder, dirs_exist_ok=True, copy_function=os.link)
        for name, engine in engines.items():
            place = folder / name / "config.pbtxt"
            config = parse(place.read_text(encoding="utf-8"))
            capability = engine.key.compute_capability
            old = config.cc_model_filenames.get(capability)
            if old:
                (folder / name / VERSION / old).unlink(missing_ok=True)
            shutil.copyfile(engine.path, folder / name / VERSION / engine.key.file)
            config.cc_model_filenames[capability] = engine.key.file
            place.unlink()
            place.write_text(render(config), encoding="utf-8")
            known.setdefault(name, {})[capability] = engine.key.to_json()
        (folder / MANIFEST).unlink()
        write_manifest(folder, {**manifest, "engines": known})
