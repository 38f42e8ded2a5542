"""The init steps of a pod of profile tensorrt, run one after another as the Deployment lists them.

Only the device is made up, by options for placing on behalf of another node: there is no GPU here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes_manifests import build, named, of_kind, served_pods
from made_engines import HOPPER, stored

from sat2sound.export.gates import problem_lines
from sat2sound.export.manifest import read_manifest
from sat2sound.export.triton_config import parse
from sat2sound.export.verify import verify_repository

COMMAND = Path(sys.executable).with_name("sat2sound")
DEVICE = ("--compute-capability", HOPPER.compute_capability, "--tensorrt", HOPPER.tensorrt)


@pytest.mark.parametrize("overlay", ["gpu", "kserve-gpu"])
def test_pods_fetch_then_place_and_read_the_store_only(overlay: str) -> None:
    manifests = build(overlay, "engine-build")
    _, pod = served_pods(manifests)["triton"]
    fetch, place = pod["initContainers"]
    assert (fetch["command"], place["command"]) == (
        ["sat2sound", "repository", "fetch"],
        ["sat2sound", "engines", "place"],
    )
    mounts = {mount["mountPath"]: mount for mount in place["volumeMounts"]}
    assert mounts["/engines"]["readOnly"] is True
    assert "/engines" not in [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    (job,) = of_kind(manifests, "Job")
    builder = job["spec"]["template"]["spec"]
    assert builder["initContainers"][0]["args"] == fetch["args"]  # the same repository, so the same keys
    assert builder["containers"][0]["args"] == place["args"]
    assert builder["containers"][0]["image"] == place["image"] == pod["containers"][0]["image"]  # one TensorRT
    claims = {v["persistentVolumeClaim"]["claimName"] for v in builder["volumes"] if "persistentVolumeClaim" in v}
    assert claims == {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
    (claim,) = claims
    assert named(manifests, "PersistentVolumeClaim", claim)["spec"]["accessModes"] == ["ReadWriteMany"]


def test_a_pod_starts_with_the_engines_of_the_store_and_not_without(
    small_repositories: dict[str, Path], tmp_path: Path
) -> None:
    published = small_repositories["tensorrt"]
    _, pod = served_pods(build("gpu", "engine-build"))["triton"]
    (served,) = [a.partition("=")[2] for a in pod["containers"][0]["args"] if a.startswith("--model-repository=")]
    settings = {
        "$(MODEL_REPOSITORY)": published.as_uri(),
        "$(MODEL_REPOSITORY_DIGEST)": str((read_manifest(published) or {})["digest"]),
    }

    def start() -> subprocess.CompletedProcess[str]:
        for step in pod["initContainers"]:
            words = [settings.get(word, word) for word in (*step["command"][1:], *step["args"])]
            words = [f"{tmp_path}{word}" if word.startswith("/") else word for word in words]
            more = DEVICE if step["name"] == "place-engines" else ()
            done = subprocess.run(
                [COMMAND, *words, *more], capture_output=True, text=True, check=False, env=environment
            )
            if done.returncode:
                break
        return done

    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    (tmp_path / "engines").mkdir()
    waiting = start()
    assert waiting.returncode == 6
    assert "no engine of audio_encoder, audio_pooling" in waiting.stderr
    assert "sat2sound-build-engines" in waiting.stderr
    assert "Traceback" not in waiting.stderr

    engines = stored(published, HOPPER, tmp_path / "engines")  # the job is done
    started = start()
    assert started.returncode == 0, started.stderr
    repository = Path(f"{tmp_path}{served}")
    for name, engine in engines.items():
        config = parse((repository / name / "config.pbtxt").read_text())
        assert dict(config.cc_model_filenames) == {"9.0": engine.key.file}
        assert (repository / name / "1" / engine.key.file).read_bytes() == engine.path.read_bytes()
    assert problem_lines(verify_repository(repository)) == []
    assert start().returncode == 0  # a pod whose sandbox starts again runs its init steps again


def test_half_a_device_is_refused(tmp_path: Path) -> None:
    command = [str(COMMAND), "engines", "place", str(tmp_path), "--store", str(tmp_path), "--tensorrt", "10.13.3.9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--compute-capability and --tensorrt together" in " ".join(done.stderr.split())
