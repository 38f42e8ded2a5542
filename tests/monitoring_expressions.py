"""Every PromQL expression that k8s/ holds, with where it stands and why it may have no data here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes_manifests import K8S

MONITORING = K8S / "components" / "monitoring"

# The only metrics without data on a plain machine. Expressions of others must return some.
ABSENT_HERE = {
    "nv_gpu_": "no GPU: Triton exports these only where it found one",
    "kube_": "kube-state-metrics exports these; there is no cluster here",
}


@dataclass(frozen=True)
class Expression:
    """text: PromQL. place: for messages."""

    place: str
    text: str

    @property
    def absent(self) -> str | None:
        """Why it has no data here; None if it must have some."""
        return next((reason for prefix, reason in ABSENT_HERE.items() if re.search(rf"\b{prefix}", self.text)), None)


def rule_groups() -> list[dict[str, Any]]:
    """The groups of the PrometheusRule."""
    return list(yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]["groups"])


def alerts() -> list[dict[str, Any]]:
    """The alerting rules."""
    return [rule for group in rule_groups() for rule in group["rules"] if "alert" in rule]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """(dashboard, panel) of every dashboard."""
    for file in sorted((MONITORING / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            yield file.stem, panel


def _sides(expression: str) -> list[str]:
    # What an alert compares: an alert that is silent returns nothing, but what it looks at must be there.
    parts = re.split(r"\s(?:and|or|unless)\s", expression)
    return [re.sub(r"\s(?:[<>]=?|[=!]=)\s[^<>=]*$", "", part).strip() for part in parts]


def all_expressions() -> list[Expression]:
    """Of dashboards, recording rules, alerts (each side by itself) and the autoscaler."""
    found = [
        Expression(f"{board}: {panel['title']}", target["expr"])
        for board, panel in panels()
        for target in panel["targets"]
    ]
    for group in rule_groups():
        for rule in group["rules"]:
            if "record" in rule:
                found.append(Expression(rule["record"], rule["expr"]))
            else:
                found += [Expression(rule["alert"], side) for side in _sides(rule["expr"])]
    found += [Expression("ScaledObject", query) for query in scaling_queries()]
    return found


def selected_models(expression: str) -> list[set[str]]:
    """The models of the wire contract that each of its selectors `model=~"..."` takes."""
    from sat2sound.contract import MODELS

    patterns = re.findall(r'model=~"([^"]+)"', expression)
    return [{name for name in MODELS if re.fullmatch(pattern, name)} for pattern in patterns]


def scaling_queries() -> list[str]:
    """Of the ScaledObject's Prometheus triggers."""
    scaled = yaml.safe_load((K8S / "components" / "keda" / "triton-scaled-object.yaml").read_text())
    return [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"] if trigger["type"] == "prometheus"]
