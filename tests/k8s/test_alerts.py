"""promtool accepts the rules, and every alert fires when it should and keeps silent when it should (alerts/*.yaml)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring_expressions import MONITORING, alerts, all_expressions, panels, rule_groups, selected_models
from prometheus_process import program
from shared_data import ROOT

from sat2sound import metrics
from sat2sound.contract import MODELS

CASES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as Prometheus itself reads them: without the operator's object around them."""
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": rule_groups()}))
    return file


def promtool(*arguments: str) -> str:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_rules(rules: Path) -> None:
    count = sum(len(group["rules"]) for group in rule_groups())
    assert f"{count} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_alert_fires_and_keeps_silent(case: Path, rules: Path) -> None:
    promtool("test", "rules", str(shutil.copy(case, rules.parent)))


def test_a_wrong_expectation_is_noticed(rules: Path) -> None:
    text = next(case for case in CASES if case.stem == "Sat2SoundErrors").read_text()
    wrong = rules.parent / "wrong.yaml"
    wrong.write_text(text.replace("0+3x60", "0+0x60"))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", str(wrong))


def test_every_alert_has_cases_of_both_kinds() -> None:
    assert {case.stem for case in CASES} == {alert["alert"] for alert in alerts()}
    for case in CASES:
        checks: list[Any] = [
            check for test in yaml.safe_load(case.read_text())["tests"] for check in test["alert_rule_test"]
        ]
        assert {check["alertname"] for check in checks} == {case.stem}
        assert {bool(check["exp_alerts"]) for check in checks} == {True, False}, case.stem


def test_every_alert_has_a_severity_a_summary_and_a_runbook() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning"), alert["alert"]
        assert alert["annotations"]["summary"], alert["alert"]
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert page.endswith("/docs/monitoring.md"), alert["alert"]
        assert anchor in anchors, alert["alert"]


def test_the_objective_is_a_bucket() -> None:
    # A bound that is no bucket would count nothing as fast.
    bounds = set(re.findall(r'le="([^"]+)"', (MONITORING / "rules.yaml").read_text()))
    assert bounds
    assert {float(bound) for bound in bounds} <= set(metrics.LATENCY_BUCKETS_SECONDS)
    assert bounds <= {str(bound) for bound in metrics.LATENCY_BUCKETS_SECONDS}  # prometheus-client writes "1.0"


def test_selectors_take_the_models_that_they_mean() -> None:
    ensembles = {name for name, model in MODELS.items() if model.kind == "ensemble"}
    checked = 0
    for expression in all_expressions():
        # An ensemble has no queue of its own: the autoscaler looks at all models that it composes.
        expected = MODELS.keys() - ensembles if expression.place == "ScaledObject" else ensembles
        for found in selected_models(expression.text):
            assert found == expected, expression.place
            checked += 1
    assert checked >= 7


def test_dashboards_have_what_is_asked_for() -> None:
    titles = {panel["title"]: panel["targets"] for _, panel in panels()}
    for title in ("Latency by route", "Latency by stage", "Triton: latency by ensemble", "Python steps in Triton"):
        assert [target["legendFormat"].split()[0] for target in titles[title]] == ["p50", "p95", "p99"], title
    for title in (
        "Requests by route",
        "Triton: items per execution (batch size)",
        "Triton: mean time in queue by model",
        "Triton: response cache hits",
        "GPU: share of time busy",
        "GPU: memory in use",
    ):
        assert titles[title], title


def test_dashboards_are_those_of_the_list_of_panels() -> None:
    from tools.dashboards import DASHBOARDS, FOLDER, render

    for name in DASHBOARDS:
        assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == render(name)
    assert {name for name, _ in panels()} == set(DASHBOARDS)
