"""Speed and memory of maps, in one run: embedding beside plain requests, queries over one and ten million cells.

    python -m benchmarks.maps [--cells 1920] [--server HOST:PORT] [--skip-embedding] [--out build/bench-maps]

Embedding: images per second of a map's whole run (start of the workers, reading, cropping, requests, writing) over
images per second of `Sat2SoundClient.embed_pixels` with the same pixels and as many requests in flight, in turns.
Query: a text over a map of random int8 embeddings, opened anew each time; memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine

from sat2sound.clients.cli.terminal import Steps
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps.crops import block_crops
from sat2sound.clients.maps.embedding import DEFAULT_CONCURRENCY, fill_map
from sat2sound.clients.maps.footprint import Footprint
from sat2sound.clients.maps.grid import Grid
from sat2sound.clients.maps.identity import ModelIdentity, served_identity
from sat2sound.clients.maps.imagery.raster import RasterImagery
from sat2sound.clients.maps.plan import Plan, plan_map
from sat2sound.clients.maps.query import Query, open_map, score_map
from sat2sound.clients.maps.store import MapStore, Status, create_map
from sat2sound.clients.sample_scene import sample_scene
from sat2sound.clients.servers import chosen_server
from sat2sound.configs import load_config

_CRS, _LEFT, _TOP = "EPSG:32614", 500_000.0, 4_400_000.0
_TURNS = 5


def embedding_speed(folder: Path, cells: int, server: str | None) -> dict[str, float]:
    """Images per second of both ways, as medians over turns taken alternately, and their ratio."""
    columns = 16
    rows = cells // columns
    raster = write_raster(folder / "imagery.tif", rows, columns)
    with chosen_server(server, Steps()) as found, Sat2SoundClient(found.url) as client:
        model = served_identity(client)
        footprint = Footprint(model.config.satellite_type)
        plan, _ = plan_map(*RasterImagery(str(raster)).prepared(), footprint)
        pixels, conditions = prepared(plan)
        plain_requests(client, pixels[:64], conditions[:64])  # warm
        plain, mapped = [], []
        for turn in range(_TURNS):
            start = time.perf_counter()
            plain_requests(client, pixels, conditions)
            plain.append(len(pixels) / (time.perf_counter() - start))
            start = time.perf_counter()
            report = fill_map(folder / f"turn{turn}.zarr", plan, model, found.url)
            mapped.append(report.embedded / (time.perf_counter() - start))
    return {
        "plain_images_per_second": float(np.median(plain)),
        "map_images_per_second": float(np.median(mapped)),
        "ratio": float(np.median(np.array(mapped) / np.array(plain))),
    }


def write_raster(path: Path, rows: int, columns: int) -> Path:
    """Synthetic beaches side by side."""
    scenes = [np.moveaxis(sample_scene(seed), -1, 0) for seed in range(16)]
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", height=rows * 256, width=columns * 256,
                       crs=_CRS, transform=Affine(0.3, 0, _LEFT, 0, -0.3, _TOP), tiled=True, compress="deflate",
                       photometric="RGB") as raster:  # fmt: skip
        for row in range(rows):
            strip = np.concatenate([scenes[(row + column) % 16] for column in range(columns)], axis=2)
            raster.write(strip, window=rasterio.windows.Window(0, row * 256, columns * 256, 256))
    return path


def prepared(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """All crops of a plan and their conditions, as the workers send them."""
    pixels, conditions = [], []
    for block in plan.grid.blocks(plan.block_side):
        every = np.ones((block.height, block.width), dtype=bool)
        crops, shown = block_crops(plan.imagery, plan.grid, plan.footprint, block, every, plan.min_valid)
        pixels.append(crops)
        conditions.append(plan.conditions(block)[shown])
    return np.concatenate(pixels), np.concatenate(conditions)


def plain_requests(client: Sat2SoundClient, pixels: np.ndarray, conditions: np.ndarray) -> None:
    """Embed everything, with as many calls at a time as a map's run has."""
    parts = [slice(start, start + 64) for start in range(0, len(pixels), 64)]
    with ThreadPoolExecutor(DEFAULT_CONCURRENCY) as pool:
        list(pool.map(lambda part: client.embed_pixels(pixels[part], conditions[part], deadline=600), parts))


def write_random_map(path: Path, cells: int) -> MapStore:
    """A finished map of int8 embeddings, 1,000 columns wide."""
    shutil.rmtree(path, ignore_errors=True)
    config = load_config("starter")
    probe = np.zeros(config.embedding)
    probe[0] = 1.0
    grid = Grid(_CRS, _LEFT, _TOP, 76.8, cells // 1000, 1000)
    imagery = RasterImagery("random", (1, 2, 3))
    plan = Plan(imagery, grid, Footprint(config.satellite_type))
    store = create_map(path, plan, ModelIdentity(config, tuple(probe)), [])
    random = np.random.default_rng(0)
    for block in grid.blocks(store.shard_side):
        size = (block.height, block.width)
        values = random.integers(-127, 128, (*size, config.embedding), dtype=np.int8)
        store.array("embedding")[block.slices] = values
        store.array("scale")[block.slices] = (1 / np.linalg.norm(values.astype(np.float32), axis=-1)).astype(np.float32)
        store.array("status")[block.slices] = np.full(size, Status.DONE, np.uint8)
    return store


def query_here(path: Path, turns: int) -> dict[str, float]:
    """Seconds of the first and of the best later query, and this process's peak memory."""
    embedding = np.random.default_rng(1).standard_normal(256).astype(np.float32)
    query = Query("random", "text", "", embedding / np.float32(np.linalg.norm(embedding)))
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        scores = score_map(open_map(path), [query])["score"]
        rows = scores.chunksizes["y"][0]
        for first in range(0, scores.sizes["y"], rows):  # as the GeoTIFF is written
            scores.isel(y=slice(first, first + rows)).to_numpy()
        seconds.append(time.perf_counter() - start)
    # Not getrusage: its peak begins with that of the parent.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1e6
    return {"first_seconds": seconds[0], "warm_seconds": min(seconds[1:]), "warm_median": float(np.median(seconds[1:])),
            "peak_gigabytes": peak}  # fmt: skip


def query_speed(folder: Path, cells: int) -> dict[str, float]:
    """`query_here` in a process of its own, so that its memory is its own."""
    path = folder / f"random-{cells}.zarr"
    write_random_map(path, cells)
    command = [sys.executable, "-m", "benchmarks.maps", "--query", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shutil.rmtree(path)
    return {name: float(value) for name, value in json.loads(done.stdout).items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1920)
    parser.add_argument("--query-cells", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--server")
    parser.add_argument("--skip-embedding", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/bench-maps"))
    parser.add_argument("--query", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.query:
        print(json.dumps(query_here(chosen.query, turns=6)))
        return
    chosen.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, object] = {"load_average_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(dir=chosen.out) as scratch:
        if not chosen.skip_embedding:
            results["embedding"] = embedding_speed(Path(scratch), chosen.cells, chosen.server)
        for cells in chosen.query_cells:
            results[f"query_{cells}"] = query_speed(Path(scratch), cells)
    results["load_average_after"] = os.getloadavg()[0]
    text = json.dumps(results, indent=2)
    (chosen.out / "maps.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
