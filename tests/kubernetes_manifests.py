"""The Kubernetes objects as kustomize builds them, for the tests in k8s/."""

from __future__ import annotations

import functools
import itertools
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
# What an overlay is made of; the others may be added to it.
STRUCTURE = ("gpu", "kserve", "images")
_KSERVE = {
    "keda": "the InferenceService owns the replicas; KServe has its own way to KEDA",
    "hpa": "the same",
    "tls": "KServe's routes reach the gateway in plain text; TLS ends at its ingress",
}
_NO_GPU = {"engine-build": "engines are built and run on GPUs"}
# (overlay, component) -> why they do not go together.
APART = {
    (overlay, name): reason
    for overlay, reasons in (("cpu", _NO_GPU), ("kserve", _KSERVE | _NO_GPU), ("kserve-gpu", _KSERVE))
    for name, reason in reasons.items()
}
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
    documents = yaml.load_all(found.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return tuple(document for document in documents if document)


def component_sets(overlay: str) -> list[tuple[str, ...]]:
    """All sets of components that go with an overlay and with each other: of two autoscalers at most one."""
    names = [name for name in COMPONENTS if name not in STRUCTURE and (overlay, name) not in APART]
    scalers = [name for name in ("keda", "hpa") if name in names]
    others = sorted(
        set(names) - set(scalers), key=lambda name: (name == "tls", name)
    )  # after monitoring, which it patches
    return [
        (*scaler, *some)
        for scaler in ((), *((name,) for name in scalers))
        for count in range(len(others) + 1)
        for some in itertools.combinations(others, count)
    ]


def everything(overlay: str) -> tuple[str, ...]:
    """The largest of these sets, with KEDA."""
    return max(component_sets(overlay), key=lambda names: (len(names), "keda" in names))


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
        elif manifest["kind"] == "InferenceService":
            yield f"{name}/predictor", {**spec["predictor"], "containers": _runtime(manifests, spec["predictor"])}
            yield f"{name}/transformer", spec["transformer"]
        elif manifest["kind"] == "DaskCluster":
            yield f"{name}/worker", spec["worker"]["spec"]
            yield f"{name}/scheduler", spec["scheduler"]["spec"]


def _runtime(manifests: list[Manifest], predictor: Manifest) -> list[Manifest]:
    return list(named(manifests, "ServingRuntime", predictor["model"]["runtime"])["spec"]["containers"])


def served_pods(manifests: list[Manifest]) -> dict[str, tuple[Manifest, Manifest]]:
    """'triton' and 'gateway' -> (rolling update, pod specification with its labels and replicas), of either kind."""
    for service in of_kind(manifests, "InferenceService"):
        predictor, transformer = service["spec"]["predictor"], service["spec"]["transformer"]
        found = {"triton": {**predictor, "containers": _runtime(manifests, predictor)}, "gateway": transformer}
        names = ("deploymentStrategy", "minReplicas")
        return {
            name: (
                pod["deploymentStrategy"],
                {**{k: v for k, v in pod.items() if k not in names}, "replicas": pod["minReplicas"]},
            )
            for name, pod in found.items()
        }
    return {
        entry["metadata"]["name"].removeprefix("sat2sound-"): (
            entry["spec"]["strategy"],
            {
                **entry["spec"]["template"]["spec"],
                "labels": entry["spec"]["template"]["metadata"]["labels"],
                "replicas": entry["spec"].get("replicas"),
            },
        )
        for entry in of_kind(manifests, "Deployment")
    }


def all_containers(pod: Manifest) -> list[Manifest]:
    """Init containers and containers."""
    return [*pod.get("initContainers", []), *pod["containers"]]
