"""Every overlay builds with every component, and what comes out is valid against Kubernetes' own schemas."""

from __future__ import annotations

import kubernetes_validate
import pytest
from kubernetes_manifests import COMPONENTS, OVERLAYS, Manifest, build

# Not Kubernetes' own: their schemas come with their operators.
FOREIGN = (
    "serving.kserve.io",
    "keda.sh",
    "monitoring.coreos.com",
    "cert-manager.io",
    "kubernetes.dask.org",
)
# With KServe there are no Deployments that these could patch or scale: KServe scales and secures its own.
APART = {("kserve", name) for name in ("hpa", "keda", "tls", "kserve")} | {("gpu", "kserve")}
PAIRS = [(o, c) for o in OVERLAYS for c in COMPONENTS if c != "images" and (o, c) not in APART]


def check(manifest: Manifest) -> None:
    if manifest["apiVersion"].startswith(FOREIGN):
        return
    kubernetes_validate.validate(manifest, "1.32", strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_is_valid(overlay: str) -> None:
    manifests = build(overlay)
    assert len(manifests) > 8
    for manifest in manifests:
        check(manifest)


@pytest.mark.parametrize(("overlay", "component"), PAIRS)
def test_component_is_valid_in_overlay(overlay: str, component: str) -> None:
    plain, extended = build(overlay), build(overlay, component)
    assert extended != plain
    for manifest in extended:
        check(manifest)


def test_the_schemas_do_refuse_what_is_wrong() -> None:
    (deployment, *_) = [manifest for manifest in build("cpu") if manifest["kind"] == "Deployment"]
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.32", strict=True)
