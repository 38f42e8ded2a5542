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
from rasterio.warp import transform_bounds
from shapely.geometry import box

from sat2sound.clients.maps.area import LONGITUDE_LATITUDE
from sat2sound.errors import InvalidInput

_POLYGONS = ("Polygon", "MultiPolygon")
STATISTICS = ("mean", "max", "min", "stdev", "count")  # count: covered cells, with their covered fraction


def read_zones(zones: Path) -> geopandas.GeoDataFrame:
    """A layer of polygons. Raises InvalidInput if it cannot be used."""
    try:
        layer = geopandas.read_file(zones)
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise _bad(zones, f"cannot be read: {str(error)[:200]}") from None
    if not isinstance(layer, geopandas.GeoDataFrame) or layer.empty:
        raise _bad(zones, "holds no shapes")
    if layer.crs is None:
        raise _bad(zones, "has no coordinate reference system")
    if not layer.geom_type.isin(_POLYGONS).all():
        raise _bad(zones, f"holds {', '.join(sorted(set(layer.geom_type.astype(str))))}")
    return layer


def zonal_statistics(raster_path: Path, layer: geopandas.GeoDataFrame) -> dict[str, Any]:
    """A layer (of `read_zones`) as GeoJSON with, per query (band), statistics over each polygon, weighted by coverage.

    Properties: those of the layer, and "<query>: <statistic>". Polygons without a scored cell get null, and their count
    is 0.
    """
    with rasterio.open(raster_path, driver="GTiff") as raster:
        there = _around(layer, raster)
        found: dict[Any, dict[str, float]] = {row: {} for row in layer.index}
        names = [name or f"band {band}" for band, name in enumerate(raster.descriptions, 1)]
        if len(there):
            table = exact_extract(raster, there, list(STATISTICS), output="pandas", strategy="raster-sequential")
            found |= dict(zip(there.index, table.to_dict("records"), strict=True))
    document: dict[str, Any] = json.loads(layer.to_crs(LONGITUDE_LATITUDE).to_json(default=str))
    prefixes = [f"band_{band}_" if len(names) > 1 else "" for band in range(1, len(names) + 1)]
    for row, feature in zip(layer.index, document["features"], strict=True):
        for name, prefix in zip(names, prefixes, strict=True):
            for statistic in STATISTICS:
                value = found[row].get(f"{prefix}{statistic}", 0.0 if statistic == "count" else None)
                if value is not None:
                    value = round(float(value), 6) if np.isfinite(value) else None
                feature["properties"][f"{name}: {statistic}"] = value
    document.pop("crs", None)  # GeoJSON is in degrees, always
    return document


def _around(layer: geopandas.GeoDataFrame, raster: Any) -> geopandas.GeoDataFrame:
    """Shapes near the raster, in its CRS, cut off beyond it: far away, that CRS may have no coordinates for them."""
    left, bottom, right, top = transform_bounds(raster.crs, layer.crs, *raster.bounds)
    margin = 0.1 * max(right - left, top - bottom)
    near = layer.geometry.make_valid().intersection(box(left - margin, bottom - margin, right + margin, top + margin))
    kept = near[near.geom_type.isin(_POLYGONS) & ~near.is_empty]
    return geopandas.GeoDataFrame(geometry=kept).to_crs(raster.crs)


def _bad(path: Path, problem: str) -> InvalidInput:
    return InvalidInput(
        f"the zones {path} {problem}",
        expected="a layer of polygons with a CRS (GeoJSON, GeoPackage, shapefile)",
        fix="export the districts as GeoJSON",
    )
