"""The best places of each query as GeoJSON points, apart from one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from pyproj import Transformer

from sat2sound.atomic_files import replacing_file
from sat2sound.clients.maps.area import LONGITUDE_LATITUDE
from sat2sound.clients.maps.store import storing
from sat2sound.errors import InvalidInput

_CANDIDATES = 200_000  # cells with the highest scores that are looked at: bounds memory and time


def best_places(raster_path: Path, count: int, apart: float) -> dict[str, Any]:
    """A GeoJSON feature collection: `count` points per band of a score raster, best first.

    apart: least distance in CRS units between places of one query; else neighbouring crops, which show the same
    ground, would take all ranks. Properties: query, rank, score. Raises InvalidInput.
    """
    if count < 1:
        raise InvalidInput(f"{count} places are asked for", expected="at least 1", fix="give a positive number")
    features = []
    with rasterio.open(raster_path, driver="GTiff") as raster:
        to_degrees = Transformer.from_crs(raster.crs, LONGITUDE_LATITUDE, always_xy=True)
        for band in range(1, raster.count + 1):
            query = raster.descriptions[band - 1] or f"band {band}"
            chosen = _chosen(raster, band, count, apart)
            for rank, (x, y, score) in enumerate(chosen, 1):
                longitude, latitude = to_degrees.transform(x, y)
                features.append(
                    {
                        "type": "Feature",
                        "geometry": {"type": "Point", "coordinates": [round(longitude, 7), round(latitude, 7)]},
                        "properties": {"query": query, "rank": rank, "score": round(score, 6)},
                    }
                )
    return {"type": "FeatureCollection", "features": features}


def _chosen(raster: Any, band: int, count: int, apart: float) -> list[tuple[float, float, float]]:
    scores, positions = _candidates(raster, band)
    order = np.argsort(-scores, kind="stable")
    a, b, c, d, e, f = tuple(raster.transform)[:6]
    chosen: list[tuple[float, float, float]] = []
    for index in order:
        row, column = divmod(int(positions[index]), raster.width)
        x, y = a * (column + 0.5) + b * (row + 0.5) + c, d * (column + 0.5) + e * (row + 0.5) + f
        if all((x - other[0]) ** 2 + (y - other[1]) ** 2 >= apart**2 for other in chosen):
            chosen.append((x, y, float(scores[index])))
            if len(chosen) == count:
                break
    return chosen


def _candidates(raster: Any, band: int) -> tuple[Any, Any]:
    """The highest scores and their flat positions, gathered block by block."""
    scores, positions = np.empty(0, np.float32), np.empty(0, np.int64)
    for _, window in raster.block_windows(band):
        block = raster.read(band, window=window)
        rows, columns = np.nonzero(np.isfinite(block))
        scores = np.concatenate([scores, block[rows, columns]])
        positions = np.concatenate([positions, (rows + window.row_off) * raster.width + columns + window.col_off])
        if len(scores) > _CANDIDATES:
            kept = np.argpartition(-scores, _CANDIDATES)[:_CANDIDATES]
            scores, positions = scores[kept], positions[kept]
    return scores, positions


def write_geojson(path: Path, collection: dict[str, Any] | str) -> Path:
    """Write a feature collection. Raises StorageFailed."""
    text = collection if isinstance(collection, str) else json.dumps(collection, indent=1)
    with storing(path), replacing_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return path
