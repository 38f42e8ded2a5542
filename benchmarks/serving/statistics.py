"""What Triton says of its own models between two moments: where the time of an image went."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

_PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
ENCODER = "satellite_encoder"


def read(http_url: str) -> dict[str, Any]:
    """Counters of every model that has been asked."""
    with urllib.request.urlopen(f"{http_url}/v2/models/stats", timeout=30) as answer:  # noqa: S310 (loopback)
        entries = json.load(answer)["model_stats"]
    return {entry["name"]: entry for entry in entries if entry.get("inference_count")}


def between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Per model that was asked: images, images per run, and ms per request of each part of its work."""
    found = {}
    for name, entry in after.items():
        earlier = before.get(name, {})
        images = int(entry["inference_count"]) - int(earlier.get("inference_count", 0))
        runs = int(entry["execution_count"]) - int(earlier.get("execution_count", 0))
        if images <= 0 or runs <= 0:
            continue
        found[name] = {"images": float(images), "images_per_run": images / runs}
        for part in _PARTS:
            now, then = entry["inference_stats"][part], earlier.get("inference_stats", {}).get(part, {})
            count = int(now.get("count", 0)) - int(then.get("count", 0))
            taken = int(now.get("ns", 0)) - int(then.get("ns", 0))
            found[name][f"{part}_ms"] = taken / count / 1e6 if count else 0.0
    return found
