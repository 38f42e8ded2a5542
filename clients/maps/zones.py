"""Statistics of the scores within the polygons of a layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
from exactextract import exact_extract
from pyogrio.errors import DataLayerError, DataSourceError

from sat2sound.clients.maps.area import LONGITUDE_LATITUDE
from sat2sound.errors import InvalidInput

STATISTICS = ("mean", "max", "min", "stdev", "count")  # count: covered cells, with their covered fraction


def zonal_statistics(raster_path: Path, zones: Path) -> dict[str, Any]:
    """The layer as GeoJSON with, per query (band), the statistics over each polygon, cells weighted by coverage.

    Properties: those of the layer, and "<query>: <statistic>". Polygons without a scored cell get null, and their count
    is 0. Raises InvalidInput for a layer that cannot be used.
    """
    try:
        layer = geopandas.read_file(zones)
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise _bad(zones, f"cannot be read: {str(error)[:200]}") from None
    if not isinstance(layer, geopandas.GeoDataFrame) or layer.empty:
        raise _bad(zones, "holds no shapes")
    if layer.crs is None:
        raise _bad(zones, "has no coordinate reference system")
    if not layer.geom_type.isin(["Polygon", "MultiPolygon"]).all():
        raise _bad(zones, f"holds {', '.join(sorted(set(layer.geom_type.astype(str))))}")
    with rasterio.open(raster_path, driver="GTiff") as raster:
        there = layer.to_crs(raster.crs)
        names = [name or f"band {band}" for band, name in enumerate(raster.descriptions, 1)]
        found = exact_extract(raster, there, list(STATISTICS), output="pandas", strategy="raster-sequential")
    document: dict[str, Any] = json.loads(layer.to_crs(LONGITUDE_LATITUDE).to_json())
    prefixes = [f"band_{band}_" if len(names) > 1 else "" for band in range(1, len(names) + 1)]
    for row, feature in enumerate(document["features"]):
        for name, prefix in zip(names, prefixes, strict=True):
            for statistic in STATISTICS:
                value = float(found[f"{prefix}{statistic}"].iloc[row])
                feature["properties"][f"{name}: {statistic}"] = round(value, 6) if np.isfinite(value) else None
    document.pop("crs", None)  # GeoJSON is in degrees, always
    return document


def _bad(path: Path, problem: str) -> InvalidInput:
    return InvalidInput(
        f"the zones {path} {problem}",
        expected="a layer of polygons with a CRS (GeoJSON, GeoPackage, shapefile)",
        fix="export the districts as GeoJSON",
    )
