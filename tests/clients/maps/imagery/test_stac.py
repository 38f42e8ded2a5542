"""A STAC catalogue (here on the loopback, with real files behind its items)."""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_maps import LEFT, TOP, UTM, write_raster
from PIL import Image
from pyproj import Transformer
from rasterio.transform import Affine
from shapely.geometry import box, mapping, shape
from typer.testing import CliRunner
from web_server import Answer, web_server

from sat2sound.clients.cli.main import app
from sat2sound.clients.maps.area import Area, area_of_box
from sat2sound.clients.maps.errors import ImageryError
from sat2sound.clients.maps.imagery.choose import ImageryOptions, choose_imagery
from sat2sound.clients.maps.imagery.stac import StacImagery, StacSearch
from sat2sound.errors import InvalidInput

SEARCH = StacSearch("scenes", "2024-06-01/2024-06-30", 50.0)
GRID = Affine(10, 0, LEFT, 0, -10, TOP)
_BOUNDS = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform_bounds(LEFT, TOP - 640, LEFT + 640, TOP)
AREA: Area = area_of_box(_BOUNDS)


def item(folder: Path, name: str, cloud: float, values: np.ndarray) -> dict[str, Any]:
    """An item with one file per band; values: uint16 [3, 64, 64], 0 = nodata."""
    assets = {}
    for band, plane in zip(("red", "green", "blue"), values, strict=True):
        path = write_raster(folder / f"{name}-{band}.tif", plane[None], transform=GRID, colours=None, nodata=0)
        assets[band] = {
            "href": str(path),
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "raster:bands": [{"nodata": 0, "data_type": "uint16"}],
        }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/raster/v1.1.0/schema.json"],
        "id": name,
        "collection": "scenes",
        "geometry": mapping(box(*_BOUNDS)),
        "bbox": list(_BOUNDS),
        "properties": {"datetime": "2024-06-10T10:00:00Z", "eo:cloud_cover": cloud, "gsd": 10},
        "links": [],
        "assets": assets,
    }


def catalogue(items: list[dict[str, Any]], asked: list[Any]) -> Callable[[str, bytes], Answer]:
    def answer(path: str, body: bytes) -> Answer:
        if path.startswith("/search"):
            asked.append(json.loads(body))
            return _json({"type": "FeatureCollection", "features": items, "links": []})
        conforms = ["core", "item-search", "item-search#query", "item-search#sort"]
        return _json(
            {
                "type": "Catalog",
                "id": "test",
                "stac_version": "1.0.0",
                "description": "A catalogue.",
                "conformsTo": [f"https://api.stacspec.org/v1.0.0/{name}" for name in conforms],
                "links": [{"rel": "search", "href": "SELF/search", "method": "POST", "type": "application/geo+json"}],
            }
        )

    return answer


def _json(document: Any) -> Answer:
    return 200, "application/json", json.dumps(document).encode()


@contextmanager
def served(items: list[dict[str, Any]], asked: list[Any]) -> Iterator[str]:
    """The catalogue's address."""
    holder: list[str] = []
    answer = catalogue(items, asked)

    def with_address(path: str, body: bytes) -> Answer:
        status, kind, content = answer(path, body)
        return status, kind, content.replace(b"SELF", holder[0].encode())

    with web_server(with_address) as address:
        holder.append(address)
        yield address


def find(
    items: list[dict[str, Any]], search: StacSearch = SEARCH, **options: Any
) -> tuple[StacImagery, Any, list[Any]]:
    asked: list[Any] = []
    with served(items, asked) as address:
        imagery, facts = choose_imagery(f"stac:{address}", AREA, ImageryOptions(search=search, **options))
    assert isinstance(imagery, StacImagery)
    return imagery, facts, asked


@pytest.fixture
def two(tmp_path: Path) -> list[dict[str, Any]]:
    """A clear image that ends in the middle, and a cloudy one of everything."""
    clear = np.stack([np.full((64, 64), value, np.uint16) for value in (600, 900, 1200)])
    clear[:, :, 32:] = 0
    cloudy = np.full((3, 64, 64), 2400, np.uint16)
    return [item(tmp_path, "cloudy", 40.0, cloudy), item(tmp_path, "clear", 5.0, clear)]


def test_the_least_cloudy_image_lies_on_top(two: list[dict[str, Any]]) -> None:
    imagery, facts, asked = find(two)
    assert asked[0]["collections"] == ["scenes"]
    assert asked[0]["datetime"].startswith("2024-06-01")
    assert asked[0]["query"] == {"eo:cloud_cover": {"lt": 50.0}}
    assert facts.metres_per_pixel == 10
    assert "2 images of scenes" in facts.notes[0]
    assert imagery.to_json()["items"] == ["clear", "cloudy"]
    worker = pickle.loads(pickle.dumps(imagery))  # noqa: S301 (what Dask does)
    view = worker.view(UTM, GRID, 64, 64)
    assert view.valid.all()
    np.testing.assert_array_equal(view.pixels[:, :30].reshape(-1, 3), [[51, 76, 102]] * (64 * 30))
    np.testing.assert_array_equal(view.pixels[:, 34:].reshape(-1, 3), [[204, 204, 204]] * (64 * 30))


def test_where_no_image_has_data_is_invalid(two: list[dict[str, Any]]) -> None:
    imagery, _, _ = find(two[1:], value_range=(0.0, 1200.0))
    view = imagery.view(UTM, Affine(10, 0, LEFT - 320, 0, -10, TOP), 64, 64)
    np.testing.assert_array_equal(view.valid[5], [False] * 32 + [True] * 32)
    np.testing.assert_array_equal(view.pixels[5, 40], [128, 191, 255])
    assert not view.pixels[~view.valid].any()


def test_an_image_that_cannot_be_read(two: list[dict[str, Any]]) -> None:
    imagery, _, _ = find(two)
    Path(two[1]["assets"]["green"]["href"]).unlink()
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        imagery.view(UTM, GRID, 64, 64)


def test_mistakes(two: list[dict[str, Any]]) -> None:
    with pytest.raises(ImageryError, match="has no image of scenes there and then"):
        find([])
    with pytest.raises(InvalidInput, match=r"no assets nir.*some of blue, green, red"):
        find(two, StacSearch("scenes", bands=("nir", "red", "green")))
    for source, search, area in (
        ("stac:https://catalogue.example", SEARCH, None),
        ("stac:https://catalogue.example", StacSearch(), AREA),
    ):
        with pytest.raises(InvalidInput, match=r"--collection"):
            choose_imagery(source, area, ImageryOptions(search=search))
    with pytest.raises(InvalidInput, match="is not an address"):
        choose_imagery("stac:catalogue", AREA, ImageryOptions(search=SEARCH))
    with pytest.raises(ImageryError, match=r"cannot be searched.*check the address"):
        choose_imagery("stac:http://127.0.0.1:9", AREA, ImageryOptions(search=SEARCH))
    with web_server(lambda path, body: (200, "text/html", b"<html>")) as address, pytest.raises(ImageryError):
        choose_imagery(f"stac:{address}", AREA, ImageryOptions(search=SEARCH))


def test_a_picture_with_the_catalogue_s_images_beneath(two: list[dict[str, Any]], tmp_path: Path) -> None:
    scores = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    raster = write_raster(tmp_path / "map.tif", scores, transform=Affine(80, 0, LEFT, 0, -80, TOP), colours=None,
                          nodata=np.nan, blockxsize=16, blockysize=16)  # fmt: skip
    asked: list[Any] = []
    with served(two, asked) as address:
        command = ["map", "preview", str(raster), "--imagery", f"stac:{address}", "--collection", "scenes",
                   "--out", str(tmp_path / "map.html")]  # fmt: skip
        done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip().endswith("map.html")  # notes do not stand in the way of what is piped
    west, south, east, north = box(*_BOUNDS).bounds
    outline = shape(asked[0]["intersects"])
    assert outline.bounds == pytest.approx((west, south, east, north), abs=1e-6)
    data = re.findall(r'class="imagery"[^>]*base64,([^"]+)"', (tmp_path / "map.html").read_text())[0]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    np.testing.assert_array_equal(picture[600, [200, 1000]], [[51, 76, 102], [204, 204, 204]])
