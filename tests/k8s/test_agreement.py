"""Ports, names, labels, flags and images agree across objects, and with the programs that they start."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import typer
from kubernetes_manifests import COMPONENTS, K8S, OVERLAYS, all_containers, build, named, of_kind, pod_specs
from typer.main import get_command

from sat2sound.clients.cli.main import app
from sat2sound.serving.environment import ServingEnvironment, process_environment

# Flags of newer releases than the embedded server (2.51), with the release that brought them.
NEWER_FLAGS: dict[str, str] = {}


def triton_containers() -> list[dict[str, Any]]:
    return [
        container
        for overlay in OVERLAYS
        for _, pod in pod_specs(build(overlay))
        for container in pod["containers"]
        if container["command"][0] == "tritonserver"
    ]


def test_triton_knows_every_flag(triton_environment: ServingEnvironment) -> None:
    usage = subprocess.run(
        [str(triton_environment.binary), "--help"],
        env=process_environment(triton_environment),
        capture_output=True,
        text=True,
        check=False,
    )
    known = set(re.findall(r"--[a-z0-9-]+", usage.stdout + usage.stderr))
    assert "--model-repository" in known
    used = {argument.partition("=")[0] for container in triton_containers() for argument in container["args"]}
    assert len(used) > 10
    assert used - known == set(NEWER_FLAGS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_our_commands_know_every_option(overlay: str) -> None:
    components = [name for name in COMPONENTS if name not in ("images", "kserve", "hpa")]
    if overlay == "kserve":
        components = [name for name in components if name not in ("keda", "tls")]
    checked = 0
    for name, pod in pod_specs(build(overlay, *components)):
        for container in all_containers(pod):
            if container["command"][0] != "sat2sound":
                continue
            command: Any = get_command(app)
            for word in container["command"][1:]:
                assert word in command.commands, f"{name}: sat2sound has no command {word}"
                command = command.commands[word]
            options = {option for parameter in command.params for option in getattr(parameter, "opts", ())}
            used = {word.partition("=")[0] for word in container.get("args", []) if word.startswith("--")}
            assert used <= options, f"{name}: {container['name']}"
            checked += 1
    assert checked >= 1
    assert isinstance(app, typer.Typer)


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_services_reach_ports_that_pods_open(overlay: str) -> None:
    manifests = build(overlay, "monitoring")
    pods = {d["metadata"]["name"]: d["spec"]["template"] for d in of_kind(manifests, "Deployment")}
    opened = {
        name: {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
        for name, pod in pods.items()
    }
    for service in of_kind(manifests, "Service"):
        behind = [
            name
            for name, pod in pods.items()
            if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ]
        assert len(behind) == 1, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in opened[behind[0]]
    monitor = named(manifests, "PodMonitor", "sat2sound-triton")["spec"]["podMetricsEndpoints"]
    assert [end["port"] for end in monitor] == ["metrics"]
    monitor = named(manifests, "ServiceMonitor", "sat2sound-gateway")["spec"]["endpoints"]
    ports = {port["name"] for port in named(manifests, "Service", "sat2sound-gateway")["spec"]["ports"]}
    assert {end["port"] for end in monitor} <= ports


def test_the_gateway_calls_the_headless_service() -> None:
    manifests = build("cpu")
    gateway = named(manifests, "Deployment", "sat2sound-gateway")["spec"]["template"]["spec"]["containers"][0]
    (address,) = [a.partition("=")[2] for a in gateway["args"] if a.startswith("--predictor-host=")]
    host, port = re.fullmatch(r"dns:///([^:]+):(\d+)", address).groups()  # type: ignore[union-attr]
    service = named(manifests, "Service", host)["spec"]
    assert service["clusterIP"] == "None"
    assert int(port) in [entry["port"] for entry in service["ports"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_and_secrets_are_those_that_exist(overlay: str) -> None:
    manifests = build(overlay)
    config_maps = {entry["metadata"]["name"]: entry["data"] for entry in of_kind(manifests, "ConfigMap")}
    for name, pod in pod_specs(manifests):
        for container in all_containers(pod):
            given = {entry["name"] for entry in container.get("env", [])}
            for source in container.get("envFrom", []):
                given |= config_maps[source["configMapRef"]["name"]].keys()
            words = [*container["command"], *container.get("args", [])]
            used = {variable for word in words for variable in re.findall(r"\$\(([A-Z_]+)\)", word)}
            assert used <= given, f"{name}: {container['name']}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_come_from_the_one_place(overlay: str) -> None:
    import yaml

    listed = yaml.safe_load((K8S / "components" / "images" / "kustomization.yaml").read_text())["images"]
    allowed = {
        f"{entry['newName']}@{entry['digest']}" if "digest" in entry else f"{entry['newName']}:{entry['newTag']}"
        for entry in listed
    }
    for name, pod in pod_specs(build(overlay)):
        for container in all_containers(pod):
            assert container["image"] in allowed, f"{name}: {container['name']}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_recommended_labels(overlay: str) -> None:
    for manifest in build(overlay):
        labels = manifest["metadata"].get("labels", {})
        assert labels.get("app.kubernetes.io/name") == "sat2sound", manifest["metadata"]["name"]
