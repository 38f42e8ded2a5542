"""The Kubernetes objects as kustomize builds them, for the tests in k8s/."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from shared_data import ROOT

K8S = ROOT / "k8s"
OVERLAYS = sorted(path.parent.name for path in (K8S / "overlays").glob("*/kustomization.yaml"))
COMPONENTS = sorted(path.parent.name for path in (K8S / "components").glob("*/kustomization.yaml"))
Manifest = dict[str, Any]


@functools.cache
def _kustomize() -> tuple[str, ...] | None:
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    if shutil.which("kubectl"):
        version = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=False).stdout
        if "Kustomize Version: v5" in version:  # older ones do not know components well
            return ("kubectl", "kustomize")
    return None


def build(overlay: str, *components: str) -> list[Manifest]:
    """An overlay, with more components than it names itself; skips where kustomize is absent."""
    return list(_built(overlay, components))


@functools.cache
def _built(overlay: str, components: tuple[str, ...]) -> tuple[Manifest, ...]:
    command = _kustomize()
    if command is None:
        pytest.skip("neither kustomize nor kubectl (with kustomize 5) is installed")
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(shutil.copytree(K8S, Path(scratch) / "k8s"))
        file = tree / "overlays" / overlay / "kustomization.yaml"
        wanted = yaml.safe_load(file.read_text())
        # Image names last: they apply to what the others have added.
        wanted["components"] = [f"../../components/{name}" for name in components] + wanted["components"]
        file.write_text(yaml.safe_dump(wanted))
        found = subprocess.run([*command, str(file.parent)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return tuple(document for document in yaml.safe_load_all(found.stdout) if document)


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """The objects of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """One object."""
    return next(entry for entry in of_kind(manifests, kind) if entry["metadata"]["name"] == name)


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod that these objects make, KServe's included: (name, pod specification)."""
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        spec = manifest.get("spec", {})
        if manifest["kind"] in ("Deployment", "Job", "StatefulSet", "DaemonSet"):
            yield name, spec["template"]["spec"]
        elif manifest["kind"] == "ServingRuntime":
            yield name, spec
        elif manifest["kind"] == "InferenceService":
            yield f"{name}/transformer", spec["transformer"]
        elif manifest["kind"] == "DaskCluster":
            yield f"{name}/worker", spec["worker"]["spec"]
            yield f"{name}/scheduler", spec["scheduler"]["spec"]


def all_containers(pod: Manifest) -> list[Manifest]:
    """Init containers and containers."""
    return [*pod.get("initContainers", []), *pod["containers"]]
