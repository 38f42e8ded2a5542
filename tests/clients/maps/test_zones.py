from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from made_maps import UTM
from rasterio.transform import Affine
from shapely.geometry import Point, Polygon, box, mapping

from sat2sound.clients.maps.zones import read_zones, zonal_statistics
from sat2sound.errors import InvalidInput


def write_scores(path: Path, bands: int) -> Path:
    scores = np.arange(bands * 100, dtype=np.float32).reshape(bands, 10, 10)
    scores[:, 0, 0] = np.nan
    with rasterio.open(path, "w", driver="GTiff", count=bands, height=10, width=10, dtype="float32", nodata=np.nan,
                       crs=UTM, transform=Affine(10, 0, 500_000, 0, -10, 5_400_000)) as output:  # fmt: skip
        output.write(scores)
        for band in range(bands):
            output.set_band_description(band + 1, f"query {band}")
    return path


def layer(path: Path, shapes: list[Any], crs: str | None = UTM) -> Path:
    names = [f"zone {index}" for index in range(len(shapes))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a layer has no CRS, where this is the point
        geopandas.GeoDataFrame({"name": names}, geometry=shapes, crs=crs).to_file(path, driver="GPKG")
    return path


@pytest.mark.parametrize("bands", [1, 2])
def test_cells_count_by_their_covered_share(bands: int, tmp_path: Path) -> None:
    shapes = [
        box(500_000, 5_399_980, 500_020, 5_400_000),  # the four cells at the top left, one of them without a score
        box(500_015, 5_399_900, 500_020, 5_399_910),  # half of the second cell of the last row
        box(600_000, 5_399_900, 600_100, 5_400_000),  # elsewhere
    ]
    scores = write_scores(tmp_path / "scores.tif", bands)
    found = zonal_statistics(scores, read_zones(layer(tmp_path / "zones.gpkg", shapes)))["features"]
    assert [feature["properties"]["name"] for feature in found] == ["zone 0", "zone 1", "zone 2"]
    for band in range(bands):
        prefix = f"query {band}: "
        first, half, away = (
            {key.removeprefix(prefix): value for key, value in feature["properties"].items()} for feature in found
        )
        assert first["mean"] == pytest.approx(100 * band + (1 + 10 + 11) / 3)
        assert (first["min"], first["max"], first["count"]) == (100 * band + 1, 100 * band + 11, 3)
        assert half["mean"] == pytest.approx(100 * band + 91)
        assert half["count"] == pytest.approx(0.5)
        assert (away["mean"], away["count"]) == (None, 0)
    longitude, latitude = found[0]["geometry"]["coordinates"][0][0]
    assert (longitude, latitude) == pytest.approx((15.0, 48.75), abs=0.01)


def test_layers_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.geojson").write_text("no layer")
    (tmp_path / "empty.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    cases = {
        tmp_path / "absent.geojson": "cannot be read",
        tmp_path / "text.geojson": "cannot be read",
        tmp_path / "empty.geojson": "holds no shapes",
        layer(tmp_path / "points.gpkg", [Point(500_000, 5_400_000)]): "holds Point",
        layer(tmp_path / "nowhere.gpkg", [box(0, 0, 1, 1)], crs=None): "no coordinate reference system",
    }
    for path, said in cases.items():
        with pytest.raises(InvalidInput, match=said):
            read_zones(path)


def test_dates_places_far_away_and_crossed_outlines(tmp_path: Path) -> None:
    """What real layers hold: attributes of any type, shapes for which the raster's CRS has no coordinates."""
    scores = write_scores(tmp_path / "scores.tif", 1)
    crossed = Polygon([(500_000, 5_399_900), (500_100, 5_400_000), (500_100, 5_399_900), (500_000, 5_400_000)])
    here = geopandas.GeoSeries([crossed], crs=UTM).to_crs("EPSG:4326").iloc[0]
    shapes = [box(-179, -89.9, 179, 89.9), box(100, -10, 101, -9), here]
    features = [
        {"type": "Feature", "properties": {"since": "2024-05-06T10:00:00"}, "geometry": mapping(one)} for one in shapes
    ]
    path = tmp_path / "zones.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    world, far, half = (feature["properties"] for feature in zonal_statistics(scores, read_zones(path))["features"])
    assert world["since"].startswith("2024-05-06")
    assert (world["query 0: count"], world["query 0: mean"]) == (99, pytest.approx(np.arange(1, 100).mean()))
    assert (far["query 0: count"], far["query 0: mean"]) == (0, None)
    assert half["query 0: count"] == pytest.approx(50, abs=1)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features[1:2]}))
    (alone,) = zonal_statistics(scores, read_zones(path))["features"]
    assert alone["properties"]["query 0: count"] == 0
