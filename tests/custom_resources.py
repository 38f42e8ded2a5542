"""Strict validation of any object in k8s/: Kubernetes' own by kubernetes-validate, others by k8s/schemas/."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator
from kubernetes_manifests import Manifest
from referencing import Registry, Resource

SCHEMAS = Path(__file__).parent / "k8s" / "schemas"
KUBERNETES = "1.32"


@functools.cache
def schema(kind: str) -> dict[str, Any]:
    """The schema of a kind that an operator brings. Raises OSError if there is none."""
    return dict(json.loads((SCHEMAS / f"{kind}.json").read_text(encoding="utf-8")))


@functools.cache
def _validator(kind: str) -> Draft202012Validator:
    shared = Resource.from_contents(schema("metadata"))
    return Draft202012Validator(schema(kind), registry=Registry().with_resource("metadata.json", shared))


def is_foreign(manifest: Manifest) -> bool:
    """Whether an operator, not Kubernetes, knows this kind."""
    return "." in manifest["apiVersion"].partition("/")[0] and ".k8s.io" not in manifest["apiVersion"]


@functools.cache
def _check(text: str) -> None:
    manifest = json.loads(text)
    if not is_foreign(manifest):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        return
    _validator(manifest["kind"]).validate(manifest)
    for place, pod in _pods(manifest):
        wrapped = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": place}, "spec": pod}
        kubernetes_validate.validate(wrapped, KUBERNETES, strict=True)


def check(manifest: Manifest) -> None:
    """Raises a ValidationError (kubernetes_validate's or jsonschema's) for an unknown field or a wrong value."""
    _check(json.dumps(manifest, sort_keys=True))  # most objects are the same in many builds


def _pods(manifest: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    spec = manifest["spec"]
    if manifest["kind"] == "ServingRuntime":
        yield "runtime", {"containers": spec["containers"]}
    elif manifest["kind"] == "InferenceService":
        for part, fields in schema("InferenceService")["properties"]["spec"]["properties"].items():
            own = {name: value for name, value in spec[part].items() if fields["properties"][name] is True}
            yield part, {"containers": [{"name": "runtime", "image": "of-the-runtime"}], **own}
    elif manifest["kind"] == "DaskCluster":
        yield from ((part, spec[part]["spec"]) for part in ("worker", "scheduler"))
