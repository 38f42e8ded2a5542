from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sat2sound.clients.maps.area import area_of_box, area_of_file
from sat2sound.errors import InvalidInput

TRIANGLE = {"type": "Polygon", "coordinates": [[[7.0, 47.0], [8.0, 47.0], [7.0, 48.0], [7.0, 47.0]]]}


def test_a_box() -> None:
    area = area_of_box([7.5, 47.4, 7.7, 47.6])
    assert area.bounds == (7.5, 47.4, 7.7, 47.6)
    assert area.centre == pytest.approx((7.6, 47.5))
    assert area.is_box


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([170.0, -10.0, -170.0, 10.0], "crosses the antimeridian"),
        ([7.0, 47.0, 7.0, 48.0], "has no area"),
        ([7.0, 47.0, 8.0, 47.0], "has no area"),
        ([7.0, 48.0, 8.0, 47.0], "south above north"),
        ([500_000.0, 47.0, 500_100.0, 48.0], "leaves -180..180"),
        ([7.0, -91.0, 8.0, 0.0], "leaves -180..180"),
        ([7.0, float("nan"), 8.0, 48.0], "bounding box is"),
        ([7.0, 47.0, 8.0], "bounding box is"),
    ],
)
def test_boxes_that_are_none(box: list[float], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        area_of_box(box)


@pytest.mark.parametrize(
    "document",
    [
        TRIANGLE,
        {"type": "Feature", "properties": {}, "geometry": TRIANGLE},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": TRIANGLE}]},
        {"type": "FeatureCollection", "features": [{"geometry": None}, {"geometry": TRIANGLE}]},
    ],
    ids=["geometry", "feature", "collection", "a feature without a place"],
)
def test_polygons_of_a_file(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "region.geojson"
    path.write_text(json.dumps(document))
    area = area_of_file(path)
    assert area.outline.area == pytest.approx(0.5)
    assert area.bounds == (7.0, 47.0, 8.0, 48.0)
    assert not area.is_box


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no JSON", "is not GeoJSON"),
        ("[]", "is not GeoJSON"),
        ('{"type": "Point", "coordinates": [7, 47]}', "holds no polygon"),
        ('{"type": "FeatureCollection", "features": []}', "holds no polygon"),
        ('{"type": "Polygon", "coordinates": "x"}', "is not GeoJSON"),
        ('{"type": "Polygon", "coordinates": [[[5e5,1],[6e5,1],[6e5,2],[5e5,1]]]}', "leaves -180..180"),
    ],
)
def test_files_that_are_none(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "region.geojson"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=said):
        area_of_file(path)


def test_a_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        area_of_file(tmp_path / "absent.geojson")
