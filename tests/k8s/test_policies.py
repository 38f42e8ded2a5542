"""What every pod and object must have, as assertions."""

from __future__ import annotations

import pytest
from kubernetes_manifests import COMPONENTS, OVERLAYS, Manifest, all_containers, build, named, of_kind, pod_specs

# Not with KServe, which scales and secures its own.
APART = ("images", "kserve", "hpa", "keda", "tls")
EVERYTHING = tuple(name for name in COMPONENTS if name not in ("images", "kserve", "hpa"))


def pods(overlay: str) -> list[tuple[str, Manifest]]:
    extras = tuple(name for name in COMPONENTS if name not in APART) if overlay == "kserve" else EVERYTHING
    return list(pod_specs(build(overlay, *extras)))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_are_bounded_and_locked_down(overlay: str) -> None:
    found = pods(overlay)
    assert len(found) >= 2
    for name, pod in found:
        for container in all_containers(pod):
            place = f"{name}: {container['name']}"
            limits, requests = container["resources"]["limits"], container["resources"]["requests"]
            assert {"cpu", "memory"} <= limits.keys() & requests.keys(), place
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, place
            assert security["readOnlyRootFilesystem"] is True, place
            assert security["capabilities"] == {"drop": ["ALL"]}, place
            shared = {**pod.get("securityContext", {}), **security}
            assert shared["runAsNonRoot"] is True, place
            assert shared["seccompProfile"] == {"type": "RuntimeDefault"}, place
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]], place  # noqa: S108


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_servers_have_three_probes_on_the_right_endpoints(overlay: str) -> None:
    for name, pod in pods(overlay):
        if name.startswith("Job/") or "DaskCluster" in name:
            continue
        (container,) = pod["containers"]
        assert container["startupProbe"]["httpGet"]["path"] == "/v2/health/ready", name
        assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready", name
        # Liveness must not turn red because a model is missing or a server drains: a restart would lose requests.
        probe = container["livenessProbe"]
        if "exec" in probe:  # Triton, whose own endpoint does not see dead python processes
            address = probe["exec"]["command"][3]
            assert probe["exec"]["command"] == ["sat2sound", "alive", "--http", address, "--pid", "1"], name
            assert address.startswith("127.0.0.1:80"), name
            # tritonserver is process 1 only if no shell and no other container stands before it.
            assert container["command"] == ["tritonserver"], name
            assert not pod.get("shareProcessNamespace"), name
        else:
            assert probe["httpGet"]["path"] == "/v2/health/live", name
            assert container["name"] != "triton", name


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_stopping_leaves_time_to_drain(overlay: str) -> None:
    manifests = build(overlay)
    settings = of_kind(manifests, "ConfigMap")[0]["data"]
    waits = float(settings["DRAIN_SECONDS"]) + float(settings["DRAIN_NOTICE_SECONDS"])
    for deployment in of_kind(manifests, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= waits + 20
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        assert rolling == {"maxUnavailable": 0, "maxSurge": 1}
    triton = named(manifests, "Deployment", "sat2sound-triton")["spec"]["template"]["spec"]["containers"][0]
    assert "sat2sound drain" in triton["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert "--model-control-mode=explicit" in triton["args"]  # without it the drain cannot unload


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_traffic_is_denied_unless_named(overlay: str) -> None:
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(build(overlay), "NetworkPolicy")}
    denied = policies["sat2sound-default-deny"]
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in denied
    assert "egress" not in denied
    inference = policies["sat2sound-triton"]["ingress"][0]
    assert inference["from"][0]["podSelector"]["matchLabels"], "anyone may ask Triton"


def test_gateway_cannot_reach_private_networks() -> None:
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(build("cpu"), "NetworkPolicy")}
    blocks = [to["ipBlock"] for rule in policies["sat2sound-gateway"]["egress"] for to in rule["to"] if "ipBlock" in to]
    assert blocks
    for block in blocks:
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(block["except"])


def test_gpu_pods_ask_for_a_gpu_and_cpu_pods_do_not() -> None:
    for overlay, expected in (("cpu", False), ("gpu", True)):
        pod = named(build(overlay), "Deployment", "sat2sound-triton")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) is expected
        assert ("tolerations" in pod) is expected
        memory = next(v for v in pod["volumes"] if v["name"] == "shared-memory")["emptyDir"]
        assert memory["medium"] == "Memory"


def test_disruptions_and_spread() -> None:
    manifests = build("cpu")
    for deployment in of_kind(manifests, "Deployment"):
        name = deployment["metadata"]["name"]
        budget = named(manifests, "PodDisruptionBudget", name)["spec"]
        assert budget["maxUnavailable"] == 1
        template = deployment["spec"]["template"]
        for owner in (budget["selector"], deployment["spec"]["selector"]):
            assert owner["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert template["spec"]["topologySpreadConstraints"]
        assert template["spec"]["automountServiceAccountToken"] is False
