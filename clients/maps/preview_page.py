"""The same picture as one HTML page without any reference to the network: choose a query, fade it over the imagery."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path

from PIL import Image
from pyproj import Transformer

from sat2sound.atomic_files import replacing_file
from sat2sound.clients.maps.area import LONGITUDE_LATITUDE
from sat2sound.clients.maps.drape import coloured, on_white, ramp
from sat2sound.clients.maps.layers import Layers
from sat2sound.clients.maps.overlays import Mark
from sat2sound.clients.maps.page_script import SCRIPT
from sat2sound.clients.maps.page_style import STYLE
from sat2sound.clients.maps.preview import scale_bar_label, scale_bar_metres
from sat2sound.clients.maps.store import storing


def draw_page(layers: Layers, path: Path, *, title: str = "") -> Path:
    """Write the page. Raises StorageFailed."""
    left, right, bottom, top = layers.extent
    aspect = (right - left) / (top - bottom)
    beneath = ""
    if layers.imagery is not None:
        beneath = f'<img class="imagery" alt="imagery" src="{_address(Image.fromarray(on_white(layers.imagery)))}">'
    pictures, choices, legends, drawings = [], [], [], []
    for index, (name, band, (low, high)) in enumerate(zip(layers.names, layers.scores, layers.ranges, strict=True)):
        picture = _address(Image.fromarray(coloured(band, low, high)))
        pictures.append(f'<img class="score" alt="{html.escape(name)}" src="{picture}">')
        checked = " checked" if index == 0 else ""
        choices.append(f'<label><input type="radio" name="query" value="{index}"{checked}> {html.escape(name)}</label>')
        legends.append(
            f'<div class="legend" data-low="{low!r}" data-high="{high!r}"><b>{low:.2f}</b>'
            f'<img class="ramp" alt="colours from low to high" src="{_address(Image.fromarray(ramp()))}">'
            f"<b>{high:.2f}</b></div>"
        )
        marks = [mark for overlay in layers.overlays for mark in overlay.of(name)]
        drawings.append(f'<g class="marks">{"".join(_drawn(mark, layers) for mark in marks)}</g>')
    bar = ""
    if layers.metres:
        length = scale_bar_metres(right - left)
        width = f"{100 * length / (right - left):.2f}"
        bar = f'<div class="bar" style="width:{width}%">{scale_bar_label(length)}</div>'
    facts = {"corners": _corners(layers), "query": 0}
    start, end = layers.percentiles
    values = f"{html.escape(layers.values)}; the colours end at its percentiles {start:g} and {end:g}"
    tags = "".join(
        f"<tr><td>{html.escape(name.removeprefix('SAT2SOUND_').lower())}</td><td>{html.escape(value)}</td></tr>"
        for name, value in sorted(layers.tags.items())
        if name.startswith("SAT2SOUND_")
    )
    heading = html.escape(title or "Soundscape map")
    fade = 75 if layers.imagery is not None else 100
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{heading}</title><style>{STYLE}</style>
<h1>{heading}</h1>
<fieldset><legend>sounds like</legend>{"".join(choices)}</fieldset>
<div class="map" style="--aspect:{aspect:.6f}">{beneath}{"".join(pictures)}
<svg viewBox="0 0 1000 {1000 / aspect:.1f}" aria-hidden="true">{"".join(drawings)}</svg>{bar}</div>
<div class="below"><div>{"".join(legends)}<small>{values}{"; empty: no score" if layers.masked else ""}</small></div>
<label>opacity <input id="fade" type="range" min="0" max="100" value="{fade}"></label>
<output id="here">point at the map</output></div>
<table>{tags}</table>
<script>const facts = {json.dumps(facts)};{SCRIPT}</script></html>
"""
    with storing(path), replacing_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _drawn(mark: Mark, layers: Layers) -> str:
    """SVG of a mark, 1,000 units wide."""
    left, right, _, top = layers.extent
    scale = 1000 / (right - left)
    if mark.shape.geom_type == "Point":
        x, y = mark.shape.coords[0][:2]
        across, down = (x - left) * scale, (top - y) * scale
        return (
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="{14 if mark.label else 7}"/>'
            f'<text x="{across:.1f}" y="{down:.1f}">{html.escape(mark.label)}</text>'
        )
    rings = []
    for ring in (mark.shape.exterior, *mark.shape.interiors):
        corners = (f"{(x - left) * scale:.1f},{(top - y) * scale:.1f}" for x, y, *_ in ring.coords)
        rings.append(f"M{' '.join(corners)}Z")
    return f'<path class="under" d="{"".join(rings)}"/><path class="over" d="{"".join(rings)}"/>'


def _corners(layers: Layers) -> list[list[float]]:
    """Longitude and latitude of the corners: top left, top right, bottom left, bottom right."""
    left, right, bottom, top = layers.extent
    to_degrees = Transformer.from_crs(layers.crs, LONGITUDE_LATITUDE, always_xy=True)
    places = [to_degrees.transform(x, y) for y in (top, bottom) for x in (left, right)]
    return [[round(float(value), 7) for value in place] for place in places]


def _address(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
