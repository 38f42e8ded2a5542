"""promtool accepts the rules, and every alert fires when it should and keeps silent when it should (alerts/*.yaml)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring_expressions import MONITORING, alerts, panels, rule_groups
from prometheus_process import program
from shared_data import ROOT

from sat2sound import metrics

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


def test_dashboards_are_those_of_the_list_of_panels() -> None:
    from tools.dashboards import DASHBOARDS, FOLDER, render

    for name in DASHBOARDS:
        assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == render(name)
    assert {name for name, _ in panels()} == set(DASHBOARDS)
