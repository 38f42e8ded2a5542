"""Profile tensorrt, from export to engines in the repository; building them needs a GPU and says so."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_engines import ADA, HOPPER, stored
from shared_data import ROOT

from sat2sound.contract import MODELS
from sat2sound.errors import ConfigurationError, GateFailure
from sat2sound.export.gates import problem_lines
from sat2sound.export.gates.engines import check_engines
from sat2sound.export.inputs import BuildRequest
from sat2sound.export.manifest import file_digests, read_manifest
from sat2sound.export.profiles import PROFILES
from sat2sound.export.references import FILE, read_references
from sat2sound.export.tensorrt.accuracy import compare, onnx_runner
from sat2sound.export.tensorrt.device import TensorRTUnavailable, find_device
from sat2sound.export.tensorrt.placing import place_engines, plan_engines
from sat2sound.export.triton_config import NO_ENGINE, parse, render
from sat2sound.export.verify import verify_repository

COMMAND = Path(sys.executable).with_name("sat2sound")
ENGINES = set(PROFILES["tensorrt"].engines)


def gpu_is_here() -> bool:
    try:
        find_device()
    except TensorRTUnavailable:
        return False
    return True


@pytest.fixture(scope="module")
def exported(small_repositories: dict[str, Path]) -> Path:
    return small_repositories["tensorrt"]


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "repository"))


def test_configurations_name_the_backend_and_no_engine_yet(exported: Path) -> None:
    assert {
        f"{branch}_{part}" for branch in ("satellite", "audio", "text") for part in ("encoder", "pooling")
    } == ENGINES
    for name, model in MODELS.items():
        config = parse((exported / name / "config.pbtxt").read_text())
        expected = "tensorrt" if name in ENGINES else {"onnx": "onnxruntime", "python": "python"}.get(model.kind, "")
        assert config.backend == expected
        assert config.default_model_filename == (NO_ENGINE if name in ENGINES else "")
        assert not config.cc_model_filenames


def test_the_export_verifies_and_keeps_the_graphs(exported: Path) -> None:
    results = verify_repository(exported)
    assert problem_lines(results) == []
    assert {result.subject for result in results if result.gate == "TensorRT operators"} == ENGINES
    graphs = (read_manifest(exported) or {})["graphs"]
    assert {name for name, facts in graphs.items() if facts["precision"] == "float16"} == {
        "satellite_encoder",
        "audio_encoder",
    }
    assert all((exported / name / "1" / "model.onnx").is_file() for name in ENGINES)


def test_engines_are_placed_by_compute_capability(copied: Path, tmp_path: Path) -> None:
    untouched = {name: digest for name, digest in file_digests(copied).items() if name.endswith((".onnx", ".parquet"))}
    for device in (HOPPER, ADA):
        place_engines(copied, stored(copied, device, tmp_path / "store"))
    manifest = read_manifest(copied) or {}
    for name in ENGINES:
        config = parse((copied / name / "config.pbtxt").read_text())
        assert config.cc_model_filenames.keys() == {"8.9", "9.0"}
        assert config.default_model_filename == NO_ENGINE
        for device in (HOPPER, ADA):
            key = plan_engines(copied).keys(device)[name]
            file = config.cc_model_filenames[device.compute_capability]
            assert (copied / name / "1" / file).read_bytes() == key.digest.encode()
            assert manifest["engines"][name][device.compute_capability] == key.to_json()
    assert untouched.items() <= file_digests(copied).items()
    assert problem_lines(verify_repository(copied)) == []


def test_a_newer_tensorrt_takes_the_place_of_an_older_one(copied: Path, tmp_path: Path) -> None:
    place_engines(copied, stored(copied, HOPPER, tmp_path / "store"))
    newer = stored(copied, dataclasses.replace(HOPPER, tensorrt="11.0.0.1"), tmp_path / "store")
    place_engines(copied, newer)
    plans = list(copied.glob("*/1/*.plan"))
    assert {path.parent.parent.name: path.name for path in plans} == {name: e.key.file for name, e in newer.items()}
    assert len(plans) == len(ENGINES)
    place_engines(copied, newer)  # again: nothing is lost
    assert problem_lines(verify_repository(copied)) == []


def test_an_engine_of_another_gpu_or_graph_is_found(copied: Path, tmp_path: Path) -> None:
    for device in (HOPPER, ADA):
        place_engines(copied, stored(copied, device, tmp_path / "store"))
    config, graph = copied / "text_pooling" / "config.pbtxt", copied / "text_pooling" / "1" / "model.onnx"
    known = (read_manifest(copied) or {})["engines"]["text_pooling"]

    def found(parts: dict[str, Any] = known) -> list[str]:
        return [problem.partition(": ")[2] for problem in check_engines("text_pooling", config, graph, parts).problems]

    assert found() == []
    assert found({"8.9": known["8.9"]}) == ["the manifest does not say what it was built of"]
    named = parse(config.read_text())
    hopper = named.cc_model_filenames["9.0"]
    named.cc_model_filenames["9.0"] = named.cc_model_filenames["8.9"]
    config.write_text(render(named))
    assert found() == [f"the manifest knows {hopper} for it"]
    assert found({"8.9": known["8.9"], "9.0": known["8.9"]}) == ["it was built for 8.9"]
    named.cc_model_filenames["9.0"] = hopper
    config.write_text(render(named))
    graph.with_name(hopper).unlink()
    assert found() == ["there is no such file"]
    shutil.copy(copied / "audio_pooling" / "1" / "model.onnx", graph)
    assert found() == ["it was built of another graph"] * 2


def test_the_accuracy_gate_tells_graphs_apart(exported: Path, small_repository: Path) -> None:
    cases = read_references(exported / FILE).graphs["satellite_encoder"]
    half, exact = (folder / "satellite_encoder" / "1" / "model.onnx" for folder in (exported, small_repository))
    same = compare("satellite_encoder", "float32", onnx_runner(half, "float16"), onnx_runner(half, "float16"), cases)
    assert (same.problems, same.measured) == ((), 0.0)
    close = compare("satellite_encoder", "float16", onnx_runner(exact, "float32"), onnx_runner(half, "float16"), cases)
    assert close.problems == ()
    assert close.measured is not None
    assert 0 < close.measured < 2e-2
    too_far = compare(
        "satellite_encoder", "float32", onnx_runner(exact, "float32"), onnx_runner(half, "float16"), cases
    )
    assert len(too_far.problems) >= len(cases)


def test_an_engine_that_does_not_run_is_a_problem(small_repository: Path) -> None:
    cases = read_references(small_repository / FILE).graphs["text_pooling"]
    graph, other = (small_repository / name / "1" / "model.onnx" for name in ("text_pooling", "satellite_pooling"))
    result = compare("text_pooling", "float32", onnx_runner(graph, "float32"), onnx_runner(other, "float32"), cases)
    (problem,) = result.problems
    assert problem.startswith("does not run (PolygraphyException: ")


def test_an_unsupported_graph_is_refused(copied: Path) -> None:
    shutil.copy(copied / "similarity" / "1" / "model.onnx", copied / "text_pooling" / "1" / "model.onnx")
    assert plan_engines(copied).files.keys() == ENGINES  # similarity is supported, too
    (copied / "text_pooling" / "1" / "model.onnx").write_bytes(_with_cubic_resize())
    with pytest.raises(GateFailure, match="mode is cubic"):
        plan_engines(copied)


def _with_cubic_resize() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="cubic")],
        "cubic",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1, 16, 16])],
        [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())


def test_other_profiles_and_folders_are_refused(small_repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="profile cpu, which uses no engines"):
        plan_engines(small_repository)
    with pytest.raises(ConfigurationError, match="no model repository"):
        plan_engines(tmp_path)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.skipif(gpu_is_here(), reason="there is a GPU with TensorRT here")
def test_without_a_gpu_the_command_says_what_is_missing(copied: Path, tmp_path: Path) -> None:
    before = file_digests(copied)
    done = run("engines", "build", copied, "--store", tmp_path / "store")
    assert done.returncode == 6
    assert "TensorRT engines cannot be built here" in done.stderr
    assert "pip install tensorrt" in done.stderr or "NVIDIA" in done.stderr
    assert "Traceback" not in done.stderr
    assert file_digests(copied) == before


def test_the_list_shows_what_is_stored(copied: Path, tmp_path: Path) -> None:
    engines = stored(copied, HOPPER, tmp_path / "store")
    table = run("engines", "list", "--store", tmp_path / "store")
    assert table.returncode == 0, table.stderr
    assert all(engine.key.digest[:12] in table.stdout for engine in engines.values())
    listed = json.loads(run("engines", "list", "--store", tmp_path / "store", "--json").stdout)
    assert {entry["graph"] for entry in listed} == ENGINES
    assert run("engines", "list", "--store", tmp_path / "nowhere").returncode == 2


def documented(language: str) -> list[str]:
    text = (ROOT / "docs" / "tensorrt.md").read_text(encoding="utf-8")
    return [line for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_documented_commands_run(copied: Path, small_request: BuildRequest) -> None:
    small = {"--model": small_request.model, "--gallery": str(small_request.gallery)}
    export, verify = documented("sh")
    copied.rename(copied.with_name("models"))
    for command, more in ((export, [part for pair in small.items() for part in pair]), (verify, [])):
        done = subprocess.run(
            [COMMAND, *command.split()[1:], *more], cwd=copied.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "tensorrt" in (copied.with_name("models") / "manifest.json").read_text()
    for command in documented("text"):
        assert run(*command.split()[1:3], "--help").returncode == 0
