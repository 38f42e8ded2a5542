from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_maps import UTM
from pyproj import Transformer
from rasterio.transform import Affine

from sat2sound.clients.maps.places import best_places
from sat2sound.errors import InvalidInput


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    scores = np.zeros((2, 50, 60), np.float32)
    scores[0, 10, 20], scores[0, 10, 21], scores[0, 40, 50] = 0.9, 0.8, 0.7
    scores[0, :, :3] = np.nan
    scores[1] = np.arange(3000).reshape(50, 60) / 3000
    path = tmp_path / "scores.tif"
    with rasterio.open(path, "w", driver="GTiff", count=2, height=50, width=60, dtype="float32", nodata=np.nan,
                       crs=UTM, transform=Affine(10, 0, 500_000, 0, -10, 5_400_000)) as output:  # fmt: skip
        output.write(scores)
        output.set_band_description(1, "frogs")
    return path


def test_best_first_apart_and_in_degrees(raster: Path) -> None:
    features = best_places(raster, 2, apart=30.0)["features"]
    said = [(feature["properties"]["query"], feature["properties"]["rank"]) for feature in features]
    assert said == [("frogs", 1), ("frogs", 2), ("band 2", 1), ("band 2", 2)]
    assert [feature["properties"]["score"] for feature in features[:2]] == pytest.approx([0.9, 0.7])
    to_metres = Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    x, y = to_metres.transform(*features[0]["geometry"]["coordinates"])
    assert (x, y) == pytest.approx((500_205.0, 5_399_895.0), abs=0.05)
    near = best_places(raster, 2, apart=0.0)["features"]
    assert [feature["properties"]["score"] for feature in near[:2]] == pytest.approx([0.9, 0.8])


def test_no_more_than_there_are(raster: Path) -> None:
    features = best_places(raster, 100_000, apart=0.0)["features"]
    assert sum(feature["properties"]["query"] == "frogs" for feature in features) == 50 * 57
    with pytest.raises(InvalidInput, match="0 places"):
        best_places(raster, 0, apart=1.0)


def test_all_candidates_of_a_pass_may_lie_together(tmp_path: Path) -> None:
    """A loud place of more cells than are looked at in one pass, and a quieter one elsewhere."""
    scores = np.full((600, 600), 0.1, np.float32)
    scores[:500, :500] = 0.9
    scores[0, 0], scores[590, 590] = 1.0, 0.5
    path = tmp_path / "scores.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=600, width=600, dtype="float32", nodata=np.nan,
                       tiled=True, crs=UTM, transform=Affine(1, 0, 500_000, 0, -1, 5_400_000)) as output:  # fmt: skip
        output.write(scores[None])
    features = best_places(path, 2, apart=720.0)["features"]
    assert [feature["properties"]["score"] for feature in features] == pytest.approx([1.0, 0.5])
