"""Draw the main panels of the dashboards from a Prometheus: `make monitoring-proof` does so after its load.

The expressions are the dashboards' own; only their rate window is shorter, where the load was.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from tools.dashboards import LATENCY, THROUGHPUT, Panel

MAIN = (
    "Latency by route",
    "Latency by stage",
    "Triton: latency by ensemble",
    "Requests by outcome",
    "Python steps in Triton",
    "Triton: mean time in queue by model",
    "Triton: items by model",
    "Triton: items per execution (batch size)",
    "Triton: response cache hits",
)
_UNITS = {"s": "seconds", "reqps": "requests/s", "percentunit": "share", "short": ""}
_POINTS = 120
_MOST = 8  # series of one target in a panel: those with the largest values
_LINES = ("-", "--", ":")  # p50, p95, p99


def query_range(prometheus: str, expression: str, seconds: float, until: float) -> list[dict[str, Any]]:
    """Series of the last `seconds` before `until`. Raises OSError."""
    step = max(seconds / _POINTS, 1.0)
    asked = {"query": expression, "start": until - seconds, "end": until, "step": step}
    url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 (the address that the user gave)
        return list(json.load(answer)["data"]["result"])


def draw(prometheus: str, minutes: float, out: Path, window: str) -> None:
    """Write the picture. minutes: how far back. window: of the rates, e.g. 30s."""
    until = time.time()
    panels = [panel for panel in (*LATENCY, *THROUGHPUT) if panel[0] in MAIN]
    rows = (len(panels) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(14, 3.2 * rows), layout="constrained")
    for axis, panel in zip(axes.flat, panels, strict=False):
        _draw_panel(axis, panel, prometheus, minutes * 60, until, window)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    ended = datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%d %H:%M UTC")
    figure.suptitle(f"Sat2Sound under load: {minutes:g} minutes until {ended}, rates over {window}")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)
    plt.close(figure)


def _draw_panel(axis: Any, panel: Panel, prometheus: str, seconds: float, until: float, window: str) -> None:
    title, unit, targets = panel
    colours: dict[str, str] = {}
    for line, (expression, legend) in zip(_LINES, targets, strict=False):
        # A recorded series keeps its window.
        found = query_range(prometheus, expression.replace("[5m]", f"[{window}]"), seconds, until)
        for series in sorted(found, key=_size, reverse=True)[:_MOST]:
            times, values = zip(*((float(at) - until, float(value)) for at, value in series["values"]), strict=True)
            key = str(sorted(series["metric"].items()))
            label = legend
            for name, value in series["metric"].items():
                label = label.replace(f"{{{{{name}}}}}", value)
            colour = colours.setdefault(key, f"C{len(colours)}")
            axis.plot(times, values, line, color=colour, label=label, linewidth=1.3)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylabel(_UNITS[unit])
    axis.set_xlabel("seconds before the end")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    handles, _ = axis.get_legend_handles_labels()
    if handles:
        axis.legend(
            fontsize=6, ncols=1 + len(handles) // 12, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
        )


def _size(series: dict[str, Any]) -> float:
    return max((float(value) for _, value in series["values"] if value != "NaN"), default=0.0)


def main() -> None:
    """Parse the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address")
    parser.add_argument("--minutes", type=float, default=15.0, help="how far back")
    parser.add_argument("--window", default="30s", help="of the rates")
    parser.add_argument("--out", type=Path, default=Path("build/monitoring.png"))
    options = parser.parse_args()
    draw(options.prometheus.rstrip("/"), options.minutes, options.out, options.window)


if __name__ == "__main__":
    main()
