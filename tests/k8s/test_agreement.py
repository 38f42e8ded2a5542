"""Ports, names, labels, flags and images agree across objects, and with the programs that they start."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import typer
from kubernetes_manifests import (
    K8S,
    OVERLAYS,
    all_containers,
    build,
    everything,
    named,
    of_kind,
    pod_specs,
    served_pods,
)
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
    checked = 0
    for name, pod in pod_specs(build(overlay, *everything(overlay))):
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
    # The gateway and the init steps; on GPUs those of the job and of the engines, too.
    assert checked == (5 if "gpu" in overlay else 2)
    assert isinstance(app, typer.Typer)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_reach_ports_that_pods_open(overlay: str) -> None:
    manifests = build(overlay)
    pods = {name: pod for name, (_, pod) in served_pods(manifests).items()}
    opened = {
        name: {port["name"]: port["containerPort"] for container in pod["containers"] for port in container["ports"]}
        for name, pod in pods.items()
    }
    services = of_kind(manifests, "Service")
    assert len(services) == 3
    for service in services:
        (behind,) = [n for n, pod in pods.items() if service["spec"]["selector"].items() <= pod["labels"].items()]
        for port in service["spec"]["ports"]:
            assert port["appProtocol"] == ("kubernetes.io/h2c" if port["name"] == "grpc" else "http")
            target = opened[behind][port["targetPort"]]
            # A headless service does not translate ports.
            assert service["spec"].get("clusterIP") != "None" or port["port"] == target


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_monitors_find_each_pod_once_and_speak_its_protocol(overlay: str) -> None:
    for components in (("monitoring",), ("monitoring", "tls")):
        if "tls" in components and "tls" not in everything(overlay):
            continue
        manifests = build(overlay, *components)
        triton = named(manifests, "PodMonitor", "sat2sound-triton")["spec"]
        _, pod = served_pods(manifests)["triton"]
        assert triton["selector"]["matchLabels"].items() <= pod["labels"].items()
        opened = {port["name"] for port in pod["containers"][0]["ports"]}
        assert [end["port"] for end in triton["podMetricsEndpoints"]] == ["metrics"]
        assert "metrics" in opened

        gateway = named(manifests, "ServiceMonitor", "sat2sound-gateway")["spec"]
        wanted = gateway["selector"]["matchLabels"].items()
        services = [entry for entry in of_kind(manifests, "Service") if wanted <= entry["metadata"]["labels"].items()]
        assert [entry["metadata"]["name"] for entry in services] == ["sat2sound-gateway"]
        # KServe makes a service of its own, with the labels of the InferenceService and of the transformer.
        for made in of_kind(manifests, "InferenceService"):
            given = made["metadata"]["labels"] | made["spec"]["transformer"]["labels"]
            assert not wanted <= given.items()
        (end,) = gateway["endpoints"]
        assert end["port"] in {port["name"] for port in services[0]["spec"]["ports"]}
        _, pod = served_pods(manifests)["gateway"]
        secure = any(argument.startswith("--tls-") for argument in pod["containers"][0]["args"])
        assert secure is ("tls" in components)
        assert end.get("scheme", "http") == ("https" if secure else "http")
        assert pod["containers"][0]["livenessProbe"]["httpGet"].get("scheme", "HTTP").lower() == end.get(
            "scheme", "http"
        )
        if secure:
            certificate = named(manifests, "Certificate", "sat2sound-gateway")["spec"]
            assert end["tlsConfig"]["ca"]["secret"]["name"] == certificate["secretName"]
            assert end["tlsConfig"]["serverName"] in certificate["dnsNames"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gateway_calls_the_headless_service(overlay: str) -> None:
    manifests = build(overlay)
    (gateway,) = served_pods(manifests)["gateway"][1]["containers"]
    (address,) = [a.partition("=")[2] for a in gateway["args"] if a.startswith("--predictor_host=")]
    host, port = re.fullmatch(r"dns:///([^:]+):(\d+)", address).groups()  # type: ignore[union-attr]
    service = named(manifests, "Service", host)["spec"]
    assert service["clusterIP"] == "None"
    assert int(port) in [entry["port"] for entry in service["ports"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_and_secrets_are_those_that_exist(overlay: str) -> None:
    manifests = build(overlay, *everything(overlay))
    config_maps = {entry["metadata"]["name"]: entry["data"] for entry in of_kind(manifests, "ConfigMap")}
    for name, pod in pod_specs(manifests):
        for container in all_containers(pod):
            given = {entry["name"] for entry in container.get("env", [])}
            given |= (
                {"DASK_WORKER_NAME", "DASK_SCHEDULER_ADDRESS"} if "DaskCluster" in name else set()
            )  # its operator's
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
    for name, pod in pod_specs(build(overlay, *everything(overlay))):
        for container in all_containers(pod):
            assert container["image"] in allowed, f"{name}: {container['name']}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_recommended_labels(overlay: str) -> None:
    for manifest in build(overlay, *everything(overlay)):
        labels = manifest["metadata"].get("labels", {})
        assert labels.get("app.kubernetes.io/name") == "sat2sound", manifest["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_autoscalers_and_claims_name_what_is_there(overlay: str) -> None:
    manifests = build(overlay, *everything(overlay))
    there = {(entry["kind"], entry["metadata"]["name"]) for entry in manifests}
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        for entry in of_kind(manifests, kind):
            target = entry["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) in there
            assert "replicas" not in named(manifests, target["kind"], target["name"])["spec"]  # it owns them
    for name, pod in pod_specs(manifests):
        mounted = {mount["name"] for container in all_containers(pod) for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert mounted == volumes.keys(), name
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim")
            assert claim is None or ("PersistentVolumeClaim", claim["claimName"]) in there, name
        account = pod.get("serviceAccountName")
        assert account is None or ("ServiceAccount", account) in there, name
