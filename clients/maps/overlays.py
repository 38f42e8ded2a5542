"""Shapes to draw over a map: the places of `--top`, districts, or any other layer of points and polygons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
from pyogrio.errors import DataLayerError, DataSourceError
from shapely import get_parts
from shapely.geometry.base import BaseGeometry

from sat2sound.errors import InvalidInput


@dataclass(frozen=True)
class Mark:
    """shape: a Point or Polygon in the map's CRS. label: "" for none. query: the only one it belongs to, or None."""

    shape: BaseGeometry
    label: str
    query: str | None


@dataclass(frozen=True)
class Overlay:
    """The marks of one file."""

    marks: tuple[Mark, ...]

    def of(self, query: str) -> tuple[Mark, ...]:
        """Those to draw over the scores of a query."""
        return tuple(mark for mark in self.marks if mark.query in (None, query))


def read_overlay(path: Path, crs: str, queries: Sequence[str]) -> Overlay:
    """Points and polygons of a layer. Raises InvalidInput if it has none.

    A shape whose property "query" names one of the queries, as in the files of `--top`, belongs to that one alone;
    points are labelled with their property "rank", where there is one.
    """
    try:
        layer = geopandas.read_file(path)
        layer = layer if layer.crs is None else layer.to_crs(crs)
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise _bad(path, f"cannot be read: {str(error)[:200]}") from None
    if not isinstance(layer, geopandas.GeoDataFrame) or layer.crs is None:
        raise _bad(path, "has no shapes with a coordinate reference system")
    marks = []
    for row in layer.to_dict("records"):
        named = str(row.get("query"))
        query = named if named in queries else None
        for part in get_parts(row["geometry"]) if row["geometry"] is not None else ():
            if part.geom_type in ("Point", "Polygon") and not part.is_empty:
                label = _label(row.get("rank")) if part.geom_type == "Point" else ""
                marks.append(Mark(part, label, query))
    if not marks:
        raise _bad(path, "holds neither points nor polygons")
    return Overlay(tuple(marks))


def _label(rank: Any) -> str:
    """A rank as people write it. Columns with gaps hold 7 as 7.0, and nothing as NaN."""
    if isinstance(rank, float):
        return f"{rank:g}" if math.isfinite(rank) else ""
    return "" if rank is None else str(rank)[:4]


def _bad(path: Path, problem: str) -> InvalidInput:
    return InvalidInput(
        f"the overlay {path} {problem}",
        expected="a layer of points or polygons with a CRS, such as the GeoJSON of `map query --top`",
        fix="export it as GeoJSON",
    )
