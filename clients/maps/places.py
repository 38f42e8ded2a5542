"""The best places of each query as GeoJSON points, apart from one another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from pyproj import Transformer

from sat2sound.atomic_files import replacing_file
from sat2sound.clients.maps.area import LONGITUDE_LATITUDE
from sat2sound.clients.maps.store import storing
from sat2sound.errors import InvalidInput

_CANDIDATES = 200_000  # cells with the highest scores that are looked at in one pass: bounds memory
_NO_DISTANCE = 1e-6  # only keeps a cell from being chosen twice


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
    """x, y, score of the best cells. Passes over the raster: all candidates of one may lie around a few places."""
    apart = max(apart, _NO_DISTANCE)
    chosen: list[tuple[float, float, float]] = []
    while len(chosen) < count:
        candidates = _candidates(raster, band, chosen, apart)
        if not len(candidates):
            break
        while len(candidates) and len(chosen) < count:
            x, y, score = map(float, candidates[0])
            chosen.append((x, y, score))
            # without a distance to keep, the next one is simply the next best
            candidates = candidates[_far(candidates, x, y, apart)] if apart > _NO_DISTANCE else candidates[1:]
    return chosen


def _far(table: npt.NDArray[np.float64], x: float, y: float, apart: float) -> npt.NDArray[np.bool_]:
    """Which rows (x, y, ...) lie at least `apart` from a place."""
    return np.asarray((table[:, 0] - x) ** 2 + (table[:, 1] - y) ** 2 >= apart**2)


def _candidates(
    raster: Any, band: int, chosen: Sequence[tuple[float, float, float]], apart: float
) -> npt.NDArray[np.float64]:
    """x, y, score of the best cells away from those chosen, best first: [n, 3], gathered block by block."""
    best = np.empty((0, 3))
    a, b, c, d, e, f = tuple(raster.transform)[:6]
    for _, window in raster.block_windows(band):
        block = raster.read(band, window=window)
        rows, columns = np.nonzero(np.isfinite(block))
        down, across = rows + window.row_off + 0.5, columns + window.col_off + 0.5
        found = np.column_stack([a * across + b * down + c, d * across + e * down + f, block[rows, columns]])
        for x, y, _ in chosen:
            found = found[_far(found, x, y, apart)]
        best = np.concatenate([best, found])
        if len(best) > _CANDIDATES:
            best = best[np.argpartition(-best[:, 2], _CANDIDATES)[:_CANDIDATES]]
    return np.asarray(best[np.argsort(-best[:, 2], kind="stable")])


def write_geojson(path: Path, collection: dict[str, Any] | str) -> Path:
    """Write a feature collection. Raises StorageFailed."""
    text = collection if isinstance(collection, str) else json.dumps(collection, indent=1)
    with storing(path), replacing_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return path
