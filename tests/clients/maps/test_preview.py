from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_maps import UTM
from PIL import Image
from rasterio.transform import Affine

from sat2sound.clients.maps.answer import answer_queries
from sat2sound.clients.maps.errors import MapError
from sat2sound.clients.maps.imagery.raster import RasterImagery
from sat2sound.clients.maps.preview import draw_png, read_layers, scale_bar_metres
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
    height, width = layers.imagery.shape[:2]
    assert (height, width) == (800, 1200)
    row, column = 3, 5  # the middle of a cell has the colour of the raster there
    seen = layers.imagery[int((row + 0.5) * height / 6), int((column + 0.5) * width / 9)].astype(int)
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
