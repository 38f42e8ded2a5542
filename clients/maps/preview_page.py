"""The same picture as one HTML page without any reference to the network: choose a query, fade it over the imagery."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image

from sat2sound.atomic_files import replacing_file
from sat2sound.clients.maps.preview import Layers, scale_bar_metres
from sat2sound.clients.maps.store import storing

_COLOURS = "magma"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #222; }
.map { position: relative; background: #ddd; }
.map img { display: block; width: 100%; image-rendering: pixelated; }
.map img.score { position: absolute; inset: 0; height: 100%; }
.bar { position: absolute; left: 3%; bottom: 3%; border: solid #fff; border-width: 0 2px 3px; color: #fff;
  text-align: center; text-shadow: 0 0 4px #000; font-size: 13px; }
.legend { display: flex; gap: .6rem; align-items: center; margin: .6rem 0; }
.legend img { height: 14px; flex: 1; max-width: 22rem; }
label { margin-right: 1rem; }
table { border-collapse: collapse; font-size: 13px; } td { padding: .1rem .8rem .1rem 0; vertical-align: top; }
"""
_SCRIPT = """
const scores = [...document.querySelectorAll('img.score')], ends = [...document.querySelectorAll('.ends')];
const fade = document.getElementById('fade');
function show() {
  const chosen = Number(document.querySelector('input[name=query]:checked').value);
  scores.forEach((image, index) => { image.hidden = index !== chosen; image.style.opacity = fade.value / 100; });
  ends.forEach((row, index) => { row.hidden = index !== chosen; });
}
document.querySelectorAll('input').forEach(input => input.addEventListener('input', show));
show();
"""


def draw_page(layers: Layers, path: Path, *, title: str = "") -> Path:
    """Write the page. Raises StorageFailed."""
    left, right, bottom, top = layers.extent
    height, width = layers.scores.shape[1:]
    beneath = layers.imagery if layers.imagery is not None else np.full((height, width, 3), 221, np.uint8)
    pictures, choices, ends = [], [], []
    for index, (name, band, (low, high)) in enumerate(zip(layers.names, layers.scores, layers.ranges, strict=True)):
        pictures.append(f'<img class="score" alt="{html.escape(name)}" src="{_address(_coloured(band, low, high))}">')
        checked = " checked" if index == 0 else ""
        choices.append(f'<label><input type="radio" name="query" value="{index}"{checked}> {html.escape(name)}</label>')
        ends.append(
            f'<div class="ends legend">{low:.3f} <img alt="legend" src="{_address(_ramp())}"> {high:.3f} '
            f"{html.escape(layers.tags.get('SAT2SOUND_VALUES', 'score'))}</div>"
        )
    bar = ""
    if layers.metres:
        length = scale_bar_metres(right - left)
        label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
        bar = f'<div class="bar" style="width:{100 * length / (right - left):.2f}%">{label}</div>'
    tags = "".join(
        f"<tr><td>{html.escape(name.removeprefix('SAT2SOUND_').lower())}</td><td>{html.escape(value)}</td></tr>"
        for name, value in sorted(layers.tags.items())
        if name.startswith("SAT2SOUND_")
    )
    heading = html.escape(title or "Soundscape map")
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{heading}</title><style>{_STYLE}</style>
<h1>{heading}</h1>
<p>{"".join(choices)}<label>opacity <input id="fade" type="range" min="0" max="100" value="70"></label></p>
<div class="map" style="aspect-ratio:{(right - left):.6f}/{(top - bottom):.6f}">
<img alt="imagery" style="height:100%" src="{_address(Image.fromarray(beneath))}">{"".join(pictures)}{bar}</div>
{"".join(ends)}
<table>{tags}</table>
<script>{_SCRIPT}</script></html>
"""
    with storing(path), replacing_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _coloured(band: npt.NDArray[np.float32], low: float, high: float) -> Image.Image:
    """RGBA, transparent where there is no score."""
    scaled = np.clip((np.nan_to_num(band, nan=low) - low) / (high - low), 0, 1)
    colours = matplotlib.colormaps[_COLOURS](scaled, bytes=True)
    colours[..., 3] = np.where(np.isfinite(band), 255, 0)
    return Image.fromarray(colours)


def _ramp() -> Image.Image:
    return Image.fromarray(matplotlib.colormaps[_COLOURS](np.linspace(0, 1, 256)[None], bytes=True))


def _address(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
