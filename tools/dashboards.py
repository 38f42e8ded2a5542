"""Writes the Grafana dashboards of k8s/components/monitoring from a list of panels. Run it after a change here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "k8s" / "components" / "monitoring" / "dashboards"
_COLUMNS, _WIDTH, _HEIGHT = 2, 12, 8
_GATEWAY = "sat2sound_gateway_request_duration_seconds"
_STAGE = "sat2sound_gateway_stage_duration_seconds"
_STEP = "sat2sound_step_duration_seconds"
_ENSEMBLES = '{model=~"(embed|retrieve|search)_.*|score_queries"}'

# title, unit, [(expression, legend)]
Panel = tuple[str, str, list[tuple[str, str]]]


def _quantiles(metric: str, by: str, selector: str = "") -> list[tuple[str, str]]:
    return [
        (
            f"histogram_quantile(0.{share}, sum by ({by}, le) (rate({metric}_bucket{selector}[5m])))",
            f"p{share} {{{{{by}}}}}",
        )
        for share in (50, 95, 99)
    ]


LATENCY: list[Panel] = [
    ("Latency by route", "s", _quantiles(_GATEWAY, "route", '{outcome="ok"}')),
    ("Latency by stage", "s", _quantiles(_STAGE, "stage")),
    (
        "Share of requests slower than 1 s",
        "percentunit",
        [("sat2sound:gateway_slow_ratio:rate5m", "5 min"), ("sat2sound:gateway_slow_ratio:rate1h", "1 h")],
    ),
    ("Errors that are not the caller's", "percentunit", [("sat2sound:gateway_error_ratio:rate5m", "failed")]),
    ("Python steps in Triton", "s", _quantiles(_STEP, "model")),
    (
        "Triton: mean time per request by ensemble",
        "s",
        [
            (
                f"sum by (model) (rate(nv_inference_request_duration_us{_ENSEMBLES}[5m])) / 1e6"
                f" / sum by (model) (rate(nv_inference_request_success{_ENSEMBLES}[5m]) > 0)",
                "{{model}}",
            )
        ],
    ),
    (
        # Triton's own quantiles, of the last requests of each pod: they do not add up over pods, so the slowest pod's.
        "Triton: latency by ensemble",
        "s",
        [
            (
                f'max by (model) (nv_inference_request_summary_us{{quantile="{quantile}", {_ENSEMBLES[1:]}) / 1e6',
                f"p{share} {{{{model}}}}",
            )
            for quantile, share in (("0.5", 50), ("0.95", 95), ("0.99", 99))
        ],
    ),
    (
        "Triton: p99 of the last requests by model",
        "s",
        [('max by (model) (nv_inference_request_summary_us{quantile="0.99"}) / 1e6', "{{model}}")],
    ),
    ("Triton: mean time in queue by model", "s", [("sat2sound:triton_queue_seconds:mean_5m", "{{model}}")]),
]

THROUGHPUT: list[Panel] = [
    ("Requests by route", "reqps", [(f"sum by (route) (rate({_GATEWAY}_count[5m]))", "{{route}}")]),
    ("Requests by outcome", "reqps", [(f"sum by (outcome) (rate({_GATEWAY}_count[5m]))", "{{outcome}}")]),
    ("In flight at the gateway", "short", [("sum by (route) (sat2sound_gateway_requests_in_flight)", "{{route}}")]),
    (
        "Refused before any work",
        "reqps",
        [("sum by (reason) (rate(sat2sound_gateway_refused_requests_total[5m]))", "{{reason}}")],
    ),
    ("Triton: items by model", "short", [("sum by (model) (rate(nv_inference_count[5m]))", "{{model}}")]),
    (
        "Triton: items per execution (batch size)",
        "short",
        [
            (
                "sum by (model) (rate(nv_inference_count[5m]))"
                " / sum by (model) (rate(nv_inference_exec_count[5m]) > 0)",
                "{{model}}",
            )
        ],
    ),
    ("Triton: requests waiting", "short", [("sum by (model) (nv_inference_pending_request_count)", "{{model}}")]),
    (
        "Triton: response cache hits",
        "percentunit",
        [
            (
                "sum by (model) (rate(nv_cache_num_hits_per_model[5m])) / "
                "(sum by (model) (rate(nv_cache_num_hits_per_model[5m])) + "
                "sum by (model) (rate(nv_cache_num_misses_per_model[5m])) > 0)",
                "{{model}}",
            )
        ],
    ),
    ("Triton: failures by reason", "reqps", [("sum by (model, reason) (rate(nv_inference_request_failure[5m]))", "")]),
    ("GPU: share of time busy", "percentunit", [("nv_gpu_utilization", "{{gpu_uuid}}")]),
    (
        "GPU: memory in use",
        "percentunit",
        [("nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes", "{{gpu_uuid}}")],
    ),
    ("Triton: CPU of the node", "percentunit", [("nv_cpu_utilization", "{{pod}}")]),
]

DASHBOARDS = {"latency": ("Sat2Sound: latency", LATENCY), "throughput": ("Sat2Sound: throughput", THROUGHPUT)}


def render(name: str) -> str:
    """One dashboard as Grafana's JSON. name: a key of DASHBOARDS."""
    title, panels = DASHBOARDS[name]
    board: dict[str, Any] = {
        "uid": f"sat2sound-{name}",
        "title": title,
        "tags": ["sat2sound"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(board, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    title, unit, targets = panel
    row, column = divmod(number, _COLUMNS)
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"]}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": source,
                "expr": expression,
                "legendFormat": legend or "__auto",
            }
            for place, (expression, legend) in enumerate(targets)
        ],
    }


def main() -> None:
    """Write every dashboard."""
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(render(name), encoding="utf-8")


if __name__ == "__main__":
    main()
