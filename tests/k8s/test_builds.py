"""Every overlay builds with every set of components that go together, and each object fits the schema of its kind."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from custom_resources import SCHEMAS, check, is_foreign, schema
from kubernetes_manifests import APART, K8S, OVERLAYS, STRUCTURE, Manifest, build, component_sets, of_kind


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_set_of_components_is_valid(overlay: str) -> None:
    plain = build(overlay)
    assert len(plain) > 8
    sets = component_sets(overlay)
    assert () in sets
    built = {components: build(overlay, *components) for components in sets}
    for components, manifests in built.items():
        for manifest in manifests:
            check(manifest)
        names = [(entry["kind"], entry["metadata"]["name"]) for entry in manifests]
        assert len(names) == len(set(names)), components
    # Each component does something, whatever it is with.
    for one, other in itertools.combinations(sets, 2):
        assert built[one] != built[other], (one, other)


def test_sets_hold_every_component_or_a_reason() -> None:
    known = {path.parent.name for path in (K8S / "components").glob("*/kustomization.yaml")}
    for overlay in OVERLAYS:
        tried = set(itertools.chain.from_iterable(component_sets(overlay)))
        left_out = {name for (place, name) in APART if place == overlay}
        assert tried | left_out | set(STRUCTURE) == known
        assert not tried & left_out
    assert {len(component_sets(overlay)) for overlay in OVERLAYS} == {24, 48, 4, 8}


def test_overlays_name_what_goes_with_them() -> None:
    for overlay in OVERLAYS:
        text = (K8S / "overlays" / overlay / "kustomization.yaml").read_text()
        used = yaml.safe_load(text)["components"]
        assert [path.rpartition("/")[2] for path in used][-1] == "images"
        for name in {name for components in component_sets(overlay) for name in components} - {"dask"}:
            assert f"components/{name}" in text, f"{overlay} does not say that {name} can be added"


def test_every_foreign_kind_has_a_schema_that_names_its_source() -> None:
    built = [manifest for overlay in OVERLAYS for sets in component_sets(overlay) for manifest in build(overlay, *sets)]
    kinds = {manifest["kind"] for manifest in built if is_foreign(manifest)}
    assert kinds == {file.stem for file in SCHEMAS.glob("*.json")} - {"metadata"}
    for kind in kinds:
        assert "API " in schema(kind)["$comment"]


def _objects() -> dict[str, Manifest]:
    found: dict[str, Manifest] = {}
    for overlay, components in (("gpu", ("monitoring", "keda", "tls", "dask")), ("kserve-gpu", ())):
        found |= {entry["kind"]: entry for entry in build(overlay, *components)}
    return found


def _mappings(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if isinstance(value, dict) else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [deeper for key, child in children for deeper in _mappings(child, (*path, key))]


# Below these any key is allowed.
FREE = ("labels", "annotations", "matchLabels", "selector", "nodeSelector", "limits", "requests")
KINDS = ("Deployment", "NetworkPolicy", *sorted({file.stem for file in SCHEMAS.glob("*.json")} - {"metadata"}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_misspelt_field_is_refused_wherever_it_stands(kind: str) -> None:
    manifest = _objects()[kind]
    places = [path for path in _mappings(manifest) if not path or path[-1] not in FREE]
    assert len(places) >= 2
    for path in places:
        wrong = copy.deepcopy(manifest)
        at: Any = wrong
        for key in path:
            at = at[key]
        at["misspelt"] = "x"
        assert _is_refused(wrong), f"{kind}: {path} takes any field"


def _set(path: str, value: Any) -> Callable[[Manifest], None]:
    def change(manifest: Manifest) -> None:
        *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
        at: Any = manifest
        for key in parents:
            at = at[key]
        at[last] = value

    return change


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("InferenceService", _set("spec.predictor.minReplicas", "2")),
        ("InferenceService", _set("spec.predictor.model.protocolVersion", "grpc-v3")),
        ("InferenceService", _set("spec.transformer.containers.0.ports.0.containerPort", "8080")),
        ("ServingRuntime", _set("spec.containers.0.image", 5)),
        ("ScaledObject", _set("spec.triggers.0.metadata.threshold", 20000)),
        ("ScaledObject", _set("spec.triggers.0.metricType", "Utilization")),
        ("Certificate", _set("spec.privateKey.algorithm", "ecdsa")),
        ("PodMonitor", _set("spec.podMetricsEndpoints.0.interval", "15 s")),
        ("PrometheusRule", _set("spec.groups.0.rules.0.alert", "both")),
        ("DaskCluster", _set("spec.worker.spec.containers.0.resources.limits", [])),
    ],
)
def test_a_wrong_value_is_refused(kind: str, change: Callable[[Manifest], None]) -> None:
    manifest = copy.deepcopy(_objects()[kind])
    check(manifest)
    change(manifest)
    assert _is_refused(manifest)


def _is_refused(manifest: Manifest) -> bool:
    try:
        check(manifest)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError):
        return True
    return False


@pytest.fixture(scope="module")
def kserve_types() -> dict[str, list[str]]:
    """KServe's Python types, generated from its Go ones: type -> names of its fields in JSON.

    In a process of its own, since kserve and tritonclient cannot be imported into one.
    """
    program = (
        "import json, kserve.models; "
        "types = {name: t for name, t in vars(kserve.models).items() if hasattr(t, 'attribute_map')}; "
        "print(json.dumps({name: list(t.attribute_map.values()) for name, t in types.items()}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("kind", "path", "model"),
    [
        ("ServingRuntime", "spec", "V1alpha1ServingRuntimeSpec"),
        ("ServingRuntime", "spec.supportedModelFormats.0", "V1alpha1SupportedModelFormat"),
        ("InferenceService", "spec", "V1beta1InferenceServiceSpec"),
        ("InferenceService", "spec.predictor", "V1beta1PredictorSpec"),
        ("InferenceService", "spec.predictor.model", "V1beta1ModelSpec"),
        ("InferenceService", "spec.predictor.model.modelFormat", "V1beta1ModelFormat"),
        ("InferenceService", "spec.transformer", "V1beta1TransformerSpec"),
    ],
)
def test_kserve_itself_knows_the_fields_of_our_schemas(
    kind: str, path: str, model: str, kserve_types: dict[str, list[str]]
) -> None:
    found: Any = schema(kind)
    for key in path.split("."):
        found = found["items"] if key.isdigit() else found["properties"][key]
    known = set(kserve_types[model])
    assert set(found["properties"]) <= known
    (manifest,) = of_kind(build("kserve"), kind)
    at: Any = manifest
    for key in path.split("."):
        at = at[int(key) if key.isdigit() else key]
    assert set(at) <= known
