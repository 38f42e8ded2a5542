"""A map as a picture for people: the imagery, and over it how well each query fits, with legend and scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from pyproj import CRS
from rasterio.transform import Affine

from sat2sound.atomic_files import replacing_file
from sat2sound.clients.maps.errors import MapError
from sat2sound.clients.maps.imagery import Imagery
from sat2sound.clients.maps.store import storing
from sat2sound.errors import InvalidInput

MAX_PIXELS = 1200  # longest side of what is read for a picture
PERCENTILES = (2.0, 98.0)
_COLOURS = "magma"
_OPACITY = 0.72
_PANEL_INCHES = 4.2


@dataclass(frozen=True)
class Layers:
    """What a picture shows. scores: float32 [n, H, W], NaN = nothing; names: of the n bands; extent: in the CRS.

    ranges: of each band, the percentiles that become the ends of its colours. imagery: uint8 [H2, W2, 3] or None.
    """

    scores: npt.NDArray[np.float32]
    names: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    extent: tuple[float, float, float, float]
    crs: str
    imagery: npt.NDArray[np.uint8] | None
    tags: dict[str, str]

    @property
    def metres(self) -> bool:
        """Whether a scale bar can be drawn."""
        return bool(CRS.from_user_input(self.crs).is_projected)


def read_layers(path: Path, imagery: Imagery | None, percentiles: tuple[float, float] = PERCENTILES) -> Layers:
    """Read a score raster, decimated, and the imagery of its extent. Raises InvalidInput, OSError for the imagery."""
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise InvalidInput(f"the percentiles are {low:g},{high:g}", expected="0 to 100, ascending", fix="give 2,98")
    try:
        with rasterio.open(path, driver="GTiff") as raster:
            factor = max(1.0, max(raster.height, raster.width) / MAX_PIXELS)
            size = (max(1, round(raster.height / factor)), max(1, round(raster.width / factor)))
            scores = raster.read(out_shape=(raster.count, *size)).astype(np.float32)
            names = tuple(name or f"band {band}" for band, name in enumerate(raster.descriptions, 1))
            if raster.crs is None:
                raise InvalidInput(
                    f"{path} has no coordinate reference system",
                    expected="a GeoTIFF of `sat2sound map query`",
                    fix="check the path",
                )
            bounds, crs, tags = raster.bounds, raster.crs.to_wkt(), dict(raster.tags())
    except rasterio.errors.RasterioError as error:
        raise InvalidInput(
            f"cannot read {path}: {error}", expected="a GeoTIFF of `sat2sound map query`", fix="check the path"
        ) from None
    ranges = []
    for band in scores:
        seen = band[np.isfinite(band)]
        if seen.size == 0:
            raise MapError(f"{path} has no scored cell", fix="run `sat2sound map embed` on the area first")
        start, end = np.percentile(seen, [low, high])
        ranges.append((float(start), float(max(end, start + 1e-6))))
    beneath = None
    if imagery is not None:
        width, height = bounds.right - bounds.left, bounds.top - bounds.bottom
        pixel = max(width, height) / MAX_PIXELS
        transform = Affine(pixel, 0, bounds.left, 0, -pixel, bounds.top)
        beneath = imagery.view(crs, transform, max(1, round(height / pixel)), max(1, round(width / pixel))).pixels
    extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
    return Layers(scores, names, tuple(ranges), extent, crs, beneath, tags)


def draw_png(layers: Layers, path: Path, *, title: str = "") -> Path:
    """One panel for the imagery and one per query. Raises StorageFailed."""
    panels = len(layers.names) + (layers.imagery is not None)
    columns = min(panels, 3)
    rows = math.ceil(panels / columns)
    left, right, bottom, top = layers.extent
    aspect = min(3.0, max(1 / 3, (top - bottom) / (right - left)))
    figure = Figure(
        figsize=(_PANEL_INCHES * columns, (_PANEL_INCHES * aspect + 0.9) * rows),
        layout=ConstrainedLayoutEngine(h_pad=0.12),
    )
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).flat)
    for unused in axes[panels:]:
        unused.axis("off")
    if layers.imagery is not None:
        _frame(axes[0], "imagery", layers)
        axes[0].imshow(layers.imagery, extent=layers.extent)
        axes = axes[1:]
    for axis, name, scores, (low, high) in zip(axes, layers.names, layers.scores, layers.ranges, strict=False):
        _frame(axis, name, layers)
        if layers.imagery is not None:
            axis.imshow(layers.imagery.mean(axis=-1), extent=layers.extent, cmap="gray", vmin=0, vmax=255)
        drawn = axis.imshow(
            scores, extent=layers.extent, cmap=_COLOURS, vmin=low, vmax=high, alpha=_OPACITY, interpolation="nearest"
        )
        bar = figure.colorbar(drawn, ax=axis, orientation="horizontal", shrink=0.8, pad=0.02)
        bar.locator = MaxNLocator(nbins=5)
        bar.update_ticks()
        bar.set_label(f"{layers.tags.get('SAT2SOUND_VALUES', 'score')}, stretched to these ends", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    if layers.metres:
        _scale_bar(figure.axes[0], layers)
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    with storing(path), replacing_file(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
    return path


def _frame(axis: Any, title: str, layers: Layers) -> None:
    left, right, bottom, top = layers.extent
    axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
    # Cut rather than wrapped: the layout makes no room for wrapped titles.
    # A query is plain text: a dollar sign in it begins no formula.
    axis.set_title(title if len(title) < 50 else f"{title[:47]}...", fontsize=10, parse_math=False)


def scale_bar_metres(width: float) -> float:
    """A round length (1, 2 or 5 times a power of ten) of about a quarter of the width."""
    power = 10.0 ** math.floor(math.log10(width / 4))
    return power * max(factor for factor in (1, 2, 5) if factor * power <= width / 4)


def _scale_bar(axis: Any, layers: Layers) -> None:
    left, right, bottom, top = layers.extent
    length, margin = scale_bar_metres(right - left), 0.04 * (right - left)
    height = 0.012 * (top - bottom)
    place = (left + margin, bottom + margin)
    axis.add_patch(_rectangle(place, length, height))
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    axis.text(
        place[0] + length / 2,
        place[1] + 2 * height,
        label,
        ha="center",
        va="bottom",
        fontsize=8,
        color="white",
        bbox={"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0},
    )


def _rectangle(place: tuple[float, float], width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(place, width, height, facecolor="white", edgecolor="black", linewidth=0.8, zorder=5)
