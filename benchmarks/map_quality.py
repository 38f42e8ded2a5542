"""How well a map of the mosaic tells scenes apart: area under the ROC curve for one prompt per scene.

    python -m benchmarks.map_quality --data ../shared/data --out build/map-quality [--server HOST:PORT]

The prompts were written down before the first run and not changed since.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.mosaic import write_mosaic
from sat2sound.clients.cli.map_progress import cells_progress
from sat2sound.clients.cli.terminal import Steps
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps import api
from sat2sound.clients.maps.answer import answer_queries
from sat2sound.clients.servers import chosen_server

PROMPTS = {
    "beach": "waves breaking on a sandy beach",
    "forest": "birds singing in a forest",
    "freeway": "cars rushing by on a motorway",
    "harbor": "boats in a harbour, water lapping against hulls",
    "agricultural": "insects and a tractor in open fields",
}


def roc_area(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive cell scores above another, ties half (Mann-Whitney). Both [n]; positive bool."""
    higher = scores[positive][:, None]
    others = scores[~positive][None, :]
    return float(((higher > others) + 0.5 * (higher == others)).mean())


def measure(data: Path, out: Path, server: str | None) -> dict[str, float]:
    """Embed the mosaic, ask the prompts, return the area per scene."""
    out.mkdir(parents=True, exist_ok=True)
    mosaic, store, answer = out / "mosaic.tif", out / "mosaic.zarr", out / "mosaic-map.tif"
    scenes = np.array(write_mosaic(data, mosaic))
    (out / "scenes.json").write_text(json.dumps(scenes.tolist()), encoding="utf-8")
    with chosen_server(server, Steps()) as found, Sat2SoundClient(found.url) as client:
        with cells_progress("embedding") as notify:
            api.embed(str(mosaic), store, client, notify=notify)
        answer_queries(store, client, list(PROMPTS.values()), [], answer)
    with rasterio.open(answer) as raster:
        scores = raster.read()
    return {
        scene: roc_area(band.ravel(), (scenes == scene).ravel()) for scene, band in zip(PROMPTS, scores, strict=True)
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/map-quality"))
    parser.add_argument("--server")
    chosen = parser.parse_args(arguments)
    areas = measure(chosen.data, chosen.out, chosen.server)
    for scene, area in areas.items():
        print(f"{scene:14} {area:.3f}  {PROMPTS[scene]}")


if __name__ == "__main__":
    main()
