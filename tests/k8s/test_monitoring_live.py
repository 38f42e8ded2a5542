"""Dashboards, rules and the autoscaler's query, run by a real Prometheus that scrapes both servers under load.

`make monitoring-proof` is the same for longer, with the starter's models, and draws docs/images/monitoring.png.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import TOKEN, Gateway
from monitoring_expressions import Expression, alerts, all_expressions, rule_groups, scaling_queries
from monitoring_load import run_load
from prometheus_process import Prometheus, Target, program
from shared_data import ROOT

from sat2sound import metrics
from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.launcher import TritonServer

SECONDS = float(os.environ.get("SAT2SOUND_MONITORING_SECONDS", "25"))
PICTURE = os.environ.get("SAT2SOUND_MONITORING_PICTURE", "")


@pytest.fixture(scope="module")
def prometheus(
    triton_environment: ServingEnvironment, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Prometheus]:
    program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "tokens").write_text(TOKEN)
    (folder / "store").mkdir()
    repository = request.getfixturevalue("repository" if PICTURE else "tiny_repository")
    with TritonServer(repository, environment=triton_environment) as server:
        options = (
            f"--predictor-host={server.grpc_url}",
            f"--token-file={folder / 'tokens'}",
            f"--image-stores={(folder / 'store').as_uri()}",
            "--drain-notice-seconds=0",
        )
        with Gateway(options) as gateway:
            targets = [
                Target("triton", f"127.0.0.1:{server.metrics_port}", {"pod": "sat2sound-triton-0"}),
                Target("gateway", f"127.0.0.1:{gateway.http_port}", {"pod": "sat2sound-gateway-0"}),
            ]
            with Prometheus(folder, targets, rule_groups()) as running:
                answers = run_load(gateway, folder / "store", folder / "tokens", SECONDS)
                assert set(answers) == {200, 401}, answers
                assert answers[200] > SECONDS  # it was load
                if PICTURE:
                    _draw(running, Path(PICTURE))
                yield running


def _draw(prometheus: Prometheus, picture: Path) -> None:
    command = [sys.executable, "-m", "tools.monitoring_picture", f"--prometheus={prometheus.url}"]
    subprocess.run([*command, f"--minutes={SECONDS / 60}", f"--out={picture}"], cwd=ROOT, check=True)


def test_everything_is_scraped(prometheus: Prometheus) -> None:
    assert {row["metric"]["job"]: row["value"][1] for row in prometheus.query("up")} == {"triton": "1", "gateway": "1"}


@pytest.mark.parametrize("expression", all_expressions(), ids=lambda expression: expression.place)
def test_expression_has_data(prometheus: Prometheus, expression: Expression) -> None:
    found = prometheus.query(expression.text)
    if expression.absent:
        assert found == [], f"has data: take it off the list ({expression.absent})"
        return
    assert found, expression.text
    # A ratio of nothing to nothing is a row, too.
    assert any(row["value"][1] != "NaN" for row in found), expression.text


def test_every_rule_is_evaluated_without_error(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == sum(len(group["rules"]) for group in rule_groups())
    for rule in rules:
        assert rule["health"] == "ok", rule
        assert not rule["lastEvaluation"].startswith("0001"), rule["name"]
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == {rule["alert"] for rule in alerts()}
    records = {rule["name"] for rule in rules if rule["type"] == "recording"}
    assert all(prometheus.query(record) for record in records)


def test_a_healthy_service_is_silent(prometheus: Prometheus) -> None:
    firing = [alert["labels"]["alertname"] for alert in prometheus.api("alerts")["alerts"]]
    assert "Sat2SoundErrors" not in firing


def test_our_metrics_arrive_with_their_labels_and_buckets(prometheus: Prometheus) -> None:
    for metric in (*metrics.GATEWAY, metrics.STEP_DURATION):
        name = f"{metric.name}_bucket" if metric.type == "histogram" else metric.name
        series = [row["metric"] for row in prometheus.query(name)]
        assert series, name
        assert all(set(metric.labels) <= row.keys() for row in series), name
        if metric.type == "histogram":
            bounds = {float(row["le"]) for row in series}
            assert bounds == {*metrics.LATENCY_BUCKETS_SECONDS, float("inf")}, name


def test_every_stage_is_measured(prometheus: Prometheus) -> None:
    rows = prometheus.query(f"sum by (stage) (rate({metrics.STAGE_DURATION.name}_count[5m])) > 0")
    assert {row["metric"]["stage"] for row in rows} == set(metrics.STAGES)


def test_repeated_texts_come_from_the_cache(prometheus: Prometheus) -> None:
    rows = prometheus.query("nv_cache_num_hits_per_model > 0")
    assert {row["metric"]["model"] for row in rows} == {"text_encoder", "text_pooling"}


def test_the_autoscaler_sees_the_composing_models(prometheus: Prometheus) -> None:
    (query,) = scaling_queries()
    (row,) = prometheus.query(query)
    # Microseconds that a request waits: under load on a few cores more than nothing, and less than the load lasted.
    assert 0 < float(row["value"][1]) < SECONDS * 1e6
