from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_maps import UTM
from PIL import Image
from pyproj import Transformer
from rasterio.transform import Affine
from shapely.geometry import Point, box, mapping

from sat2sound.clients.maps.answer import answer_queries
from sat2sound.clients.maps.drape import COLOURS, coloured, draped
from sat2sound.clients.maps.errors import MapError
from sat2sound.clients.maps.imagery import View
from sat2sound.clients.maps.imagery.raster import RasterImagery
from sat2sound.clients.maps.layers import read_layers
from sat2sound.clients.maps.preview import draw_png, scale_bar_metres
from sat2sound.clients.maps.preview_page import draw_page
from sat2sound.errors import InvalidInput


@pytest.fixture
def answer(made_map: Any, tmp_path: Path) -> Path:
    return answer_queries(
        made_map.store, made_map.client, ["waves on a <beach>", "traffic"], [], tmp_path / "map.tif"
    ).raster


def test_layers(answer: Path, made_map: Any) -> None:
    layers = read_layers(answer, RasterImagery(str(made_map.raster)).prepared()[0])
    assert layers.scores.shape == (2, 6, 9)
    for band, (low, high) in zip(layers.scores, layers.ranges, strict=True):
        assert (low, high) == pytest.approx(np.nanpercentile(band, [2, 98]))
    assert layers.imagery is not None
    with rasterio.open(made_map.raster) as raster:
        true = np.moveaxis(raster.read(), 0, -1)
    height, width = layers.imagery.valid.shape
    assert (height, width) == (800, 1200)
    row, column = 3, 5  # the middle of a cell has the colour of the raster there
    seen = layers.imagery.pixels[int((row + 0.5) * height / 6), int((column + 0.5) * width / 9)].astype(int)
    there = true[int((row + 0.5) * 256) - 8 : int((row + 0.5) * 256) + 8, int((column + 0.5) * 256)].mean(axis=0)
    np.testing.assert_allclose(seen, there, atol=14)


def test_a_picture(answer: Path, made_map: Any, tmp_path: Path) -> None:
    layers = read_layers(answer, RasterImagery(str(made_map.raster)).prepared()[0])
    path = draw_png(layers, tmp_path / "map.png", title="Cells")
    with Image.open(path) as image:
        assert image.size[0] >= 1000
        colours = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 500  # imagery and a colour map, not a blank page
    with Image.open(draw_png(read_layers(answer, None), tmp_path / "alone.png")) as image:
        assert image.size[0] >= 700


def test_a_page_that_needs_no_network(answer: Path, made_map: Any, tmp_path: Path) -> None:
    layers = read_layers(answer, RasterImagery(str(made_map.raster)).prepared()[0])
    page = draw_page(layers, tmp_path / "map.html", title="Cells & more").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "waves on a &lt;beach&gt;" in page
    assert "<beach>" not in page
    assert "Cells &amp; more" in page
    pictures = [base64.b64decode(data) for data in re.findall(r'class="score"[^>]*base64,([^"]+)"', page)]
    assert len(pictures) == 2
    overlay = np.asarray(Image.open(io.BytesIO(pictures[0])))
    assert overlay.shape == (6, 9, 4)
    assert (overlay[:, :8, 3] == 255).all()
    assert (overlay[:, 8, 3] == 0).all()  # masked cells are see-through


@pytest.mark.parametrize(("width", "bar"), [(100.0, 20.0), (81.0, 20.0), (79.0, 10.0), (4000.0, 1000.0), (9.0, 2.0)])
def test_scale_bars_are_round(width: float, bar: float) -> None:
    assert scale_bar_metres(width) == pytest.approx(bar)


def test_mistakes(answer: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="percentiles are 98,2"):
        read_layers(answer, None, (98, 2))
    with pytest.raises(InvalidInput, match="cannot read"):
        read_layers(tmp_path / "absent.tif", None)
    with rasterio.open(tmp_path / "empty.tif", "w", driver="GTiff", count=1, height=2, width=2, dtype="float32",
                       crs=UTM, transform=Affine(10, 0, 5e5, 0, -10, 5.4e6)) as output:  # fmt: skip
        output.write(np.full((1, 2, 2), np.nan, np.float32))
    with rasterio.open(tmp_path / "nowhere.tif", "w", driver="GTiff", count=1, height=2, width=2, dtype="float32",
                       transform=Affine(10, 0, 5e5, 0, -10, 5.4e6)) as output:  # fmt: skip
        output.write(np.zeros((1, 2, 2), np.float32))
    with pytest.raises(InvalidInput, match="no coordinate reference system"):
        read_layers(tmp_path / "nowhere.tif", None)
    with pytest.raises(MapError, match="no scored cell"):
        read_layers(tmp_path / "empty.tif", None)


def test_queries_are_plain_text_not_formulas(answer: Path, made_map: Any, tmp_path: Path) -> None:
    texts = [r"a bus for $5 and $\bus$", "two\nlines"]
    raster = answer_queries(made_map.store, made_map.client, texts, [], tmp_path / "odd.tif").raster
    layers = read_layers(raster, None)
    assert layers.names == tuple(texts)
    assert draw_png(layers, tmp_path / "odd.png", title=r"$\nothing$").stat().st_size > 1000


def test_a_colour_means_the_same_on_any_ground() -> None:
    band = np.array([[0.0, 0.5, np.nan, 1.0]], np.float32)
    grounds = [np.full((40, 40, 3), level, np.uint8) for level in (10, 128, 245)]
    flat = [draped(band, 0.0, 1.0, View(ground, np.ones((40, 40), dtype=bool))) for ground in grounds]
    for picture in flat:
        np.testing.assert_allclose(picture[5, [5, 15, 35]], coloured(band, 0.0, 1.0)[0, [0, 1, 3], :3], atol=1)
        assert len(set(picture[5, 25])) == 1  # grey: no score
    rough = View(
        (np.indices((40, 40)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, -1), flat[0][..., 0] >= 0
    )
    mean = draped(band, 0.0, 1.0, rough)[:, 10:20].reshape(-1, 3).astype(float)
    assert mean.std(axis=0).max() > 10  # the ground shows through
    np.testing.assert_allclose(mean.mean(axis=0), coloured(band, 0.0, 1.0)[0, 1, :3], atol=25)


def test_colours_grow_lighter_and_hold_no_grey() -> None:
    """What makes them readable for the colour-blind, and tells them from what has no score."""
    import matplotlib

    ramp = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 256))[:, :3]
    assert (np.diff(ramp @ [0.2126, 0.7152, 0.0722]) > -1e-3).all()
    assert (ramp.max(axis=1) - ramp.min(axis=1)).min() > 0.3


@pytest.fixture
def marked(made_map: Any, tmp_path: Path) -> Path:
    """The middle of the top left cell, for the second query; the whole raster, for all."""
    with rasterio.open(made_map.raster) as raster:
        left, bottom, right, top = raster.bounds
    to_degrees = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    place = Point(to_degrees.transform(left + 38.4, top - 38.4))
    outline = box(*to_degrees.transform(left, bottom), *to_degrees.transform(right, top))
    features = [
        {"type": "Feature", "properties": {"query": "traffic", "rank": 7}, "geometry": mapping(place)},
        {"type": "Feature", "properties": {"query": "elsewhere"}, "geometry": mapping(outline)},
        {"type": "Feature", "properties": {}, "geometry": None},
    ]
    path = tmp_path / "marks.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_places_and_outlines_over_a_map(answer: Path, marked: Path, tmp_path: Path) -> None:
    layers = read_layers(answer, None, overlays=[marked])
    (overlay,) = layers.overlays
    assert [len(overlay.of(query)) for query in layers.names] == [1, 2]
    (place,) = (mark for mark in overlay.of("traffic") if mark.label)
    assert place.label == "7"
    assert (place.shape.x, place.shape.y) == pytest.approx((layers.extent[0] + 38.4, layers.extent[3] - 38.4), abs=0.01)
    with (
        Image.open(draw_png(layers, tmp_path / "marked.png")) as drawn,
        Image.open(draw_png(read_layers(answer, None), tmp_path / "plain.png")) as plain,
    ):
        assert drawn.size == plain.size
        changed = (np.asarray(drawn) != np.asarray(plain)).any(axis=-1)
    assert 200 < changed.sum() < 0.1 * changed.size
    page = draw_page(layers, tmp_path / "marked.html").read_text()
    assert page.count('class="under"') == 2
    assert page.count("<circle") == 1
    (tmp_path / "lines.geojson").write_text('{"type": "LineString", "coordinates": [[15, 48], [16, 48]]}')
    for name, said in (("absent.geojson", "cannot be read"), ("lines.geojson", "neither points nor polygons")):
        with pytest.raises(InvalidInput, match=said):
            read_layers(answer, None, overlays=[tmp_path / name])


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
def test_a_browser_shows_one_query_and_says_its_scores(answer: Path, marked: Path, tmp_path: Path) -> None:
    page = draw_page(read_layers(answer, None, overlays=[marked]), tmp_path / "map.html")
    steps = """
    window.addEventListener('load', () => {
      const seen = [], shown = () => ['img.score', '.legend', '.marks'].map(kind =>
        [...document.querySelectorAll(kind)].map(element => getComputedStyle(element).display !== 'none'));
      seen.push(shown());
      document.querySelectorAll('input[name=query]')[1].click();
      seen.push(shown());
      const box = map.getBoundingClientRect();
      for (const [across, down] of [[3.5 / 9, 2.5 / 6], [8.5 / 9, 0.5 / 6]]) {
        const place = { clientX: box.left + across * box.width, clientY: box.top + down * box.height };
        map.dispatchEvent(new PointerEvent('pointermove', place));
        seen.push(here.textContent);
      }
      document.title = JSON.stringify(seen);
    });</script></html>"""
    page.write_text(page.read_text().replace("</script></html>", steps))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found, done.stdout[:500]
    first, second, said, nothing = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    assert first == [[True, False]] * 3
    assert second == [[False, True]] * 3
    with rasterio.open(answer) as raster:
        band, place = raster.read(2), raster.xy(2, 3)
    low, high = np.nanpercentile(band, [2, 98])
    score, latitude, longitude = map(float, re.findall(r"-?[0-9.]+", said.replace("\N{MINUS SIGN}", "-")))
    assert score == pytest.approx(np.clip(band[2, 3], low, high), abs=(high - low) / 255 + 1e-3)
    true = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(*place)
    assert (longitude, latitude) == pytest.approx(true, abs=2e-5)
    assert nothing.startswith("no score at")
