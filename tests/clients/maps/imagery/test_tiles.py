"""Tiles of a service (here on the loopback): the right ones in the right place, holes and failures as such."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rasterio.transform import Affine
from web_server import Answer, web_server

from sat2sound.clients.maps.imagery.choose import ImageryOptions, choose_imagery
from sat2sound.clients.maps.imagery.tiles import TiledImagery, is_template
from sat2sound.errors import InvalidInput

ZOOM = 17
WORLD = 2 * 20037508.342789244
TILE = WORLD / 2**ZOOM  # units of EPSG:3857
COLUMN, ROW = 69_990, 45_870  # somewhere in central Europe


def colour(x: int, y: int) -> tuple[int, int, int]:
    return 60 + (x * 37) % 160, 60 + (y * 53) % 160, 60 + (x * y) % 160


def tile_answer(path: str, body: bytes) -> Answer:
    match = re.match(r"/(\d+)/(\d+)/(\d+)\.png\?key=secret$", path)
    assert match, path
    zoom, x, y = map(int, match.groups())
    if zoom != ZOOM or (x, y) == (COLUMN + 1, ROW):
        return 404, "text/plain", b"no tile"
    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), colour(x, y)).save(buffer, format="PNG")
    return 200, "image/png", buffer.getvalue()


@pytest.fixture
def service() -> Iterator[str]:
    with web_server(tile_answer) as address:
        yield address


def test_tiles_lie_where_they_belong(service: str) -> None:
    imagery = TiledImagery(service + "/{z}/{x}/{y}.png?key=secret", ZOOM)
    left, top = -WORLD / 2 + COLUMN * TILE, WORLD / 2 - ROW * TILE
    view = imagery.view("EPSG:3857", Affine(TILE / 64, 0, left, 0, -TILE / 64, top), 128, 128)
    for column, row, hole in ((0, 0, False), (1, 0, True), (0, 1, False), (1, 1, False)):
        inner = (slice(64 * row + 12, 64 * row + 52), slice(64 * column + 12, 64 * column + 52))
        assert view.valid[inner].all() != hole
        assert view.valid[inner].any() != hole
        expected = (0, 0, 0) if hole else colour(COLUMN + column, ROW + row)
        np.testing.assert_allclose(view.pixels[inner].reshape(-1, 3).astype(int), [expected] * 1600, atol=1)


def test_a_grid_in_utm(service: str) -> None:
    from pyproj import Transformer

    imagery = TiledImagery(service + "/{z}/{x}/{y}.png?key=secret", ZOOM)
    middle = (-WORLD / 2 + (COLUMN + 0.5) * TILE, WORLD / 2 - (ROW + 2.5) * TILE)
    x, y = Transformer.from_crs("EPSG:3857", "EPSG:32632", always_xy=True).transform(*middle)
    view = imagery.view("EPSG:32632", Affine(1, 0, x - 20, 0, -1, y + 20), 40, 40)
    assert view.valid.all()
    np.testing.assert_allclose(view.pixels[20, 20].astype(int), colour(COLUMN, ROW + 2), atol=1)


def test_a_service_that_fails() -> None:
    with web_server(lambda path, body: (500, "text/plain", b"broken")) as address:
        imagery = TiledImagery(address + "/{z}/{x}/{y}.png?key=secret", ZOOM)
        transform = Affine(TILE / 8, 0, -WORLD / 2 + COLUMN * TILE, 0, -TILE / 8, WORLD / 2 - ROW * TILE)
        with pytest.raises(OSError, match=r"\{z\}/\{x\}/\{y\}\.png") as failure:
            imagery.view("EPSG:3857", transform, 8, 8)
    assert "secret" not in str(failure.value)


def test_what_is_written_down_holds_no_key() -> None:
    imagery = TiledImagery("https://me:pass@tiles.example/{z}/{x}/{y}.png?key=secret", 18)
    assert imagery.to_json() == {"kind": "tiles", "address": "https://tiles.example/{z}/{x}/{y}.png", "max_zoom": 18}
    assert imagery.facts().metres_per_pixel == pytest.approx(WORLD / 256 / 2**18)


def test_wmts_fields(service: str) -> None:
    def answer(path: str, body: bytes) -> Answer:
        zoom, row, column = re.findall(r"=(\d+)", path)
        return tile_answer(f"/{zoom}/{column}/{row}.png?key=secret", body)

    with web_server(answer) as address:
        template = address + "/wmts?m={TileMatrix}&r={TileRow}&c={TileCol}"
        assert is_template(template)
        imagery = TiledImagery(template, ZOOM)
        left, top = -WORLD / 2 + COLUMN * TILE, WORLD / 2 - (ROW + 2) * TILE
        view = imagery.view("EPSG:3857", Affine(TILE / 32, 0, left, 0, -TILE / 32, top), 32, 32)
    np.testing.assert_allclose(view.pixels[16, 16].astype(int), colour(COLUMN, ROW + 2), atol=1)


@pytest.mark.parametrize(
    "template", ["https://tiles.example/{z}/{x}.png", "https://tiles.example/{z}/{x}/{y}/{s}", "https:///{z}/{x}/{y}"]
)
def test_templates_that_are_none(template: str) -> None:
    with pytest.raises(InvalidInput, match=r"expected \{z\}, \{x\} and \{y\}"):
        TiledImagery(template, 18)


def test_choosing_a_source(tmp_path: Path) -> None:
    imagery, facts = choose_imagery("https://tiles.example/{z}/{x}/{y}.png", None, ImageryOptions(max_zoom=12))
    assert isinstance(imagery, TiledImagery)
    assert imagery.max_zoom == 12
    assert math.isclose(facts.metres_per_pixel or 0, 38.2, rel_tol=1e-2)
    for source in ("s3://bucket/a.tif", "/vsicurl/https://example.org/a.tif", "ftp://example.org/a.tif"):
        with pytest.raises(InvalidInput, match="no source of imagery that is understood"):
            choose_imagery(source, None, ImageryOptions())
    with pytest.raises(InvalidInput, match="finest zoom level is 30"):
        choose_imagery("https://tiles.example/{z}/{x}/{y}.png", None, ImageryOptions(max_zoom=30))
    with pytest.raises(InvalidInput, match="value range"):
        choose_imagery(str(tmp_path / "a.tif"), None, ImageryOptions(value_range=(5.0, 1.0)))
