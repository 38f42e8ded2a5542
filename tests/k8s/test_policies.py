"""What every pod and object must have, as assertions; KServe's pods are held to the same as the Deployments'."""

from __future__ import annotations

import pytest
from kubernetes_manifests import (
    OVERLAYS,
    Manifest,
    all_containers,
    build,
    everything,
    named,
    of_kind,
    pod_specs,
    served_pods,
)

GPU = ("gpu", "kserve-gpu")


def pods(overlay: str) -> list[tuple[str, Manifest]]:
    return list(pod_specs(build(overlay, *everything(overlay))))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_are_bounded_and_locked_down(overlay: str) -> None:
    found = pods(overlay)
    assert len(found) >= 4
    for name, pod in found:
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        for container in all_containers(pod):
            place = f"{name}: {container['name']}"
            limits, requests = container["resources"]["limits"], container["resources"]["requests"]
            assert {"cpu", "memory"} <= limits.keys() & requests.keys(), place
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, place
            assert security["readOnlyRootFilesystem"] is True, place
            assert security["capabilities"] == {"drop": ["ALL"]}, place
            assert not security.get("privileged"), place
            shared = {**pod.get("securityContext", {}), **security}
            assert shared["runAsNonRoot"] is True, place
            assert shared["runAsUser"] > 0, place
            assert shared["seccompProfile"] == {"type": "RuntimeDefault"}, place
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]], place  # noqa: S108
        for volume in pod["volumes"]:
            assert not {"hostPath"} & volume.keys(), name
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], f"{name}: {volume['name']}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_servers_have_three_probes_on_the_right_endpoints(overlay: str) -> None:
    checked = set()
    for name, (_, pod) in served_pods(build(overlay, *everything(overlay))).items():
        (container,) = pod["containers"]
        assert container["startupProbe"]["httpGet"]["path"] == "/v2/health/ready", name
        assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready", name
        # Liveness must not turn red because a model is missing or a server drains: a restart would lose requests.
        probe = container["livenessProbe"]
        if name == "triton":  # its own endpoint does not see dead python processes
            (port,) = [
                argument.partition("=")[2] for argument in container["args"] if argument.startswith("--http-port=")
            ]
            command = ["sat2sound", "alive", "--http", f"127.0.0.1:{port}", "--pid", "1"]
            assert probe["exec"]["command"] == command
            # tritonserver is process 1 only if no shell and no other container stands before it.
            assert container["command"] == ["tritonserver"]
            assert not pod.get("shareProcessNamespace")
        else:
            assert probe["httpGet"]["path"] == "/v2/health/live", name
        ports = {port["name"] for port in container["ports"]}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[kind].get("httpGet", {"port": "http"})["port"] in ports, name
        checked.add(name)
    assert checked == {"triton", "gateway"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_stopping_leaves_time_to_drain(overlay: str) -> None:
    manifests = build(overlay)
    settings = of_kind(manifests, "ConfigMap")[0]["data"]
    waits = float(settings["DRAIN_SECONDS"]) + float(settings["DRAIN_NOTICE_SECONDS"])
    for name, (strategy, pod) in served_pods(manifests).items():
        assert pod["terminationGracePeriodSeconds"] >= waits + 20, name
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}, name
    (triton,) = served_pods(manifests)["triton"][1]["containers"]
    assert "sat2sound drain" in triton["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert "--model-control-mode=explicit" in triton["args"]  # without it the drain cannot unload
    # What Triton waits for after the drain fits, too.
    (ends,) = [float(argument.partition("=")[2]) for argument in triton["args"] if "--exit-timeout-secs" in argument]
    assert ends <= 20


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_traffic_is_denied_unless_named(overlay: str) -> None:
    manifests = build(overlay, *everything(overlay))
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(manifests, "NetworkPolicy")}
    denied = policies["sat2sound-default-deny"]
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in denied
    assert "egress" not in denied
    # It selects every pod that these objects make.
    for name, (_, pod) in served_pods(manifests).items():
        assert pod["labels"].items() >= denied["podSelector"]["matchLabels"].items(), name
    for name in ("sat2sound-triton", "sat2sound-gateway"):
        selected = policies[name]["podSelector"]["matchLabels"]
        _, pod = served_pods(manifests)[name.removeprefix("sat2sound-")]
        assert pod["labels"].items() >= selected.items(), name
    inference = policies["sat2sound-triton"]["ingress"][0]
    _, gateway = served_pods(manifests)["gateway"]
    assert gateway["labels"].items() >= inference["from"][0]["podSelector"]["matchLabels"].items()
    assert inference["from"][0]["podSelector"]["matchLabels"], "anyone may ask Triton"
    opened = {port["name"] for port in served_pods(manifests)["triton"][1]["containers"][0]["ports"]}
    for rule in policies["sat2sound-triton"]["ingress"]:
        assert {port["port"] for port in rule["ports"]} <= opened


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_gateway_cannot_reach_private_networks(overlay: str) -> None:
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(build(overlay), "NetworkPolicy")}
    blocks = [to["ipBlock"] for rule in policies["sat2sound-gateway"]["egress"] for to in rule["to"] if "ipBlock" in to]
    assert blocks
    for block in blocks:
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(block["except"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_triton_answers_only_to_holders_of_the_keys(overlay: str) -> None:
    (triton,) = served_pods(build(overlay))["triton"][1]["containers"]
    for protocol in ("--http-restricted-api", "--grpc-restricted-protocol"):
        found = [argument.partition("=")[2] for argument in triton["args"] if argument.startswith(protocol)]
        closed = {
            name: key for entry in found for name in entry.split(":")[0].split(",") for key in [entry.split("=")[1]]
        }
        assert closed == {
            **dict.fromkeys(("model-repository", "shared-memory", "trace", "logging"), "$(CONTROL_KEY)"),
            "inference": "$(INFERENCE_KEY)",
        }
    keys = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in triton["env"] if "valueFrom" in entry}
    assert keys["CONTROL_KEY"]["key"] != keys["INFERENCE_KEY"]["key"]
    # The gateway gets the one for inference only.
    _, gateway = served_pods(build(overlay))["gateway"]
    (secret,) = [
        v["secret"] for v in gateway["volumes"] if v.get("secret", {}).get("secretName") == "sat2sound-triton-keys"
    ]
    assert [item["key"] for item in secret["items"]] == ["inference"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_gpu_pods_ask_for_a_gpu_and_cpu_pods_do_not(overlay: str) -> None:
    manifests = build(overlay, *everything(overlay))
    _, pod = served_pods(manifests)["triton"]
    (container,) = pod["containers"]
    needing = [(pod, container)]
    if overlay in GPU:
        (job,) = of_kind(manifests, "Job")
        builder = job["spec"]["template"]["spec"]
        needing += [(builder, builder["containers"][0])]
        needing += [(pod, step) for step in pod["initContainers"] if step["name"] == "place-engines"]
        assert len(needing) == 3
    for owner, asking in needing:
        for kind in ("limits", "requests"):
            assert asking["resources"][kind].get("nvidia.com/gpu") == (1 if overlay in GPU else None)
        assert owner.get("tolerations", []) == (
            [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}] if overlay in GPU else []
        )
        assert ("nodeAffinity" in owner.get("affinity", {})) is (overlay in GPU)
        # Job and pods on the same kind of node: engines run only there.
        assert owner.get("affinity") == pod.get("affinity")
    memory = next(v for v in pod["volumes"] if v["name"] == "shared-memory")["emptyDir"]
    assert memory["medium"] == "Memory"
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]  # noqa: S108


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_disruptions_and_spread(overlay: str) -> None:
    manifests = build(overlay)
    for name, (_, pod) in served_pods(manifests).items():
        budget = named(manifests, "PodDisruptionBudget", f"sat2sound-{name}")["spec"]
        assert budget["maxUnavailable"] == 1
        selectors = [budget["selector"], *(entry["labelSelector"] for entry in pod["topologySpreadConstraints"])]
        assert len(selectors) >= 2
        for selector in selectors:
            assert selector["matchLabels"].items() <= pod["labels"].items(), name
        assert pod["replicas"] >= 2, name


def test_kserve_runs_the_same_pods() -> None:
    for kserve, plain in (("kserve", "cpu"), ("kserve-gpu", "gpu")):
        for name, (_, pod) in served_pods(build(kserve)).items():
            other = dict(served_pods(build(plain))[name][1])
            container, expected = dict(pod["containers"][0]), dict(other["containers"][0])
            assert container.pop("name") == "kserve-container"
            expected.pop("name")
            assert container == expected
            rest = [{k: v for k, v in one.items() if k not in ("containers", "model")} for one in (pod, other)]
            assert rest[0] == rest[1], name


def test_kserve_adds_nothing_to_the_gateways_arguments() -> None:
    """KServe appends --model_name, --predictor_host and --http_port unless an argument begins with that."""
    _, gateway = served_pods(build("kserve"))["gateway"]
    for name in ("--model_name", "--predictor_host", "--http_port"):
        assert [a for a in gateway["containers"][0]["args"] if a.startswith(name)], name
