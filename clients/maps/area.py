"""The area of interest: a box or polygons in longitude and latitude, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import box, mapping, shape
from shapely.geometry.base import BaseGeometry

from sat2sound.errors import InvalidInput

LONGITUDE_LATITUDE = "OGC:CRS84"  # the order that GeoJSON and bounding boxes have


@dataclass(frozen=True)
class Area:
    """outline: polygons in degrees, longitude first. is_box: the whole box is wanted, not a shape within it."""

    outline: BaseGeometry
    is_box: bool

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""
        west, south, east, north = self.outline.bounds
        return west, south, east, north

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude of the middle of the bounds."""
        west, south, east, north = self.bounds
        return (west + east) / 2, (south + north) / 2

    def to_json(self) -> dict[str, Any]:
        """A GeoJSON geometry."""
        return dict(mapping(self.outline))


def area_of_box(bounds: Sequence[float]) -> Area:
    """west, south, east, north in degrees. Raises InvalidInput for what is not a box on one side of +-180 degrees."""
    if len(bounds) != 4 or not all(math.isfinite(value) for value in bounds):
        raise _bad_box(f"the bounding box is {list(bounds)}", "check the numbers")
    west, south, east, north = bounds
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= 90 and -90 <= north <= 90):
        raise _bad_box(
            f"the bounding box {_written(bounds)} leaves -180..180, -90..90 degrees",
            "give degrees, longitude before latitude",
        )
    if west > east:
        raise _bad_box(
            f"the bounding box {_written(bounds)} crosses the antimeridian (west is greater than east)",
            "embed the two sides as two maps, or swap west and east if they were mixed up",
        )
    if south > north:
        raise _bad_box(f"the bounding box {_written(bounds)} has south above north", "swap them")
    if west == east or south == north:
        raise _bad_box(f"the bounding box {_written(bounds)} has no area", "give a box with a width and a height")
    return Area(box(west, south, east, north), is_box=True)


def area_of_file(path: Path) -> Area:
    """The polygons of a GeoJSON file. Raises InvalidInput."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        outline = shapely.union_all([shape(geometry) for geometry in _geometries(document)])
    except OSError as error:
        raise _bad_file(path, f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        raise _bad_file(path, f"is not GeoJSON: {error!r}") from None
    if outline.is_empty or outline.area == 0:
        raise _bad_file(path, "holds no polygon with an area")
    area_of_box(outline.bounds)
    return Area(outline, is_box=False)


def _geometries(document: Any) -> list[Any]:
    if document["type"] == "FeatureCollection":
        # RFC 7946: a feature without a place has the geometry null
        return [feature["geometry"] for feature in document["features"] if feature["geometry"] is not None]
    return [document["geometry"] if document["type"] == "Feature" else document]


def _written(bounds: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in bounds)


def _bad_box(problem: str, fix: str) -> InvalidInput:
    return InvalidInput(
        problem, expected="west,south,east,north in degrees with west < east and south < north", fix=fix
    )


def _bad_file(path: Path, problem: str) -> InvalidInput:
    return InvalidInput(
        f"the area {path} {problem}",
        expected="a GeoJSON file with polygons in longitude and latitude (EPSG:4326)",
        fix="save the region as GeoJSON in EPSG:4326; split one that crosses the antimeridian",
    )
