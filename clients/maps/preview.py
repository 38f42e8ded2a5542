"""A map as a picture for people: the imagery, and over it how well each query fits, with legend and scale bar."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from sat2sound.atomic_files import replacing_file
from sat2sound.clients.maps.drape import COLOURS, NO_SCORE, draped, on_white
from sat2sound.clients.maps.layers import Layers
from sat2sound.clients.maps.overlays import Mark
from sat2sound.clients.maps.store import storing

_PANEL_INCHES = 4.2
_STRIP_INCHES = 0.16  # of the colours below a panel
_WORDS_INCHES = 0.72  # of a panel's title and its legend's numbers
_DOTS_PER_INCH = 140


def draw_png(layers: Layers, path: Path, *, title: str = "") -> Path:
    """One panel for the imagery and one per query. Raises StorageFailed."""
    panels = len(layers.names) + (layers.imagery is not None)
    columns = min(panels, 3)
    rows = math.ceil(panels / columns)
    left, right, bottom, top = layers.extent
    tall = _PANEL_INCHES * min(3.0, max(1 / 3, (top - bottom) / (right - left)))
    figure = Figure(
        figsize=(_PANEL_INCHES * columns, (tall + _STRIP_INCHES + _WORDS_INCHES) * rows + 0.45 * bool(title)),
        layout=ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.08, hspace=0, wspace=0),
    )
    # A strip below each panel, also below the imagery's, so that panels are of one size and in line
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[tall, _STRIP_INCHES] * rows)
    axes, strips = (
        [figure.add_subplot(grid[2 * (panel // columns) + strip, panel % columns]) for panel in range(panels)]
        for strip in (0, 1)
    )
    if layers.imagery is not None:
        _frame(axes[0], "imagery", layers)
        axes[0].imshow(on_white(layers.imagery), extent=layers.extent)
        strips[0].axis("off")
        strips[0].text(0.5, 0.5, layers.credit, ha="center", va="center", fontsize=8.5, color="0.35", parse_math=False)
    first = panels - len(layers.names)
    for axis, strip, name, scores, (low, high) in zip(
        axes[first:], strips[first:], layers.names, layers.scores, layers.ranges, strict=True
    ):
        _frame(axis, name, layers)
        axis.imshow(draped(scores, low, high, layers.imagery), extent=layers.extent, interpolation="nearest")
        for overlay in layers.overlays:
            for mark in overlay.of(name):
                _draw(axis, mark)
        _legend(figure, axis, strip, layers, low, high)
    if layers.metres:
        _scale_bar(axes[0], layers)
    if title:
        figure.suptitle(title, fontsize=13, fontweight="bold", parse_math=False)
    with storing(path), replacing_file(path) as partial:
        figure.savefig(partial, dpi=_DOTS_PER_INCH, format="png")
    return path


def _frame(axis: Any, title: str, layers: Layers) -> None:
    left, right, bottom, top = layers.extent
    axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
    for spine in axis.spines.values():
        spine.set(edgecolor="0.7", linewidth=0.8)
    # Cut rather than wrapped: the layout makes no room for wrapped titles.
    # A query is plain text: a dollar sign in it begins no formula.
    axis.set_title(title if len(title) < 50 else f"{title[:47]}...", fontsize=11.5, parse_math=False)


def _legend(figure: Figure, axis: Any, strip: Any, layers: Layers, low: float, high: float) -> None:
    """Colours below the panel, with arrows where scores lie beyond them, and what pale places are."""
    scale = ScalarMappable(Normalize(low, high), COLOURS)
    bar = figure.colorbar(scale, cax=strip, orientation="horizontal", extend="both", extendfrac=0.03)
    bar.locator = MaxNLocator(nbins=5)
    bar.update_ticks()
    bar.outline.set(edgecolor="0.4", linewidth=0.6)
    bar.ax.tick_params(labelsize=9, length=2.5)
    start, end = layers.percentiles
    bar.set_label(f"{layers.values} (ends: percentiles {start:g} and {end:g})", fontsize=9)
    if layers.masked:
        axis.legend(
            handles=[Patch(facecolor=str(NO_SCORE), edgecolor="0.5", linewidth=0.5, label="no score")],
            loc="lower right", fontsize=8, framealpha=0.85, borderpad=0.4, handlelength=1.1, handleheight=1.1,
        )  # fmt: skip


def _draw(axis: Any, mark: Mark) -> None:
    """White on black, so that it is seen on any colour."""
    if mark.shape.geom_type == "Point":
        x, y = mark.shape.coords[0][:2]
        axis.plot(x, y, "o", markersize=13 if mark.label else 7, markerfacecolor="white", markeredgecolor="black",
                  markeredgewidth=1.0)  # fmt: skip
        axis.annotate(mark.label, (x, y), ha="center", va="center_baseline", fontsize=8, color="black", clip_on=True)
        return
    for ring in (mark.shape.exterior, *mark.shape.interiors):
        axis.plot(*ring.xy, color="white", linewidth=1.3, solid_joinstyle="miter",
                  path_effects=[withStroke(linewidth=2.6, foreground="black")])  # fmt: skip


def scale_bar_metres(width: float) -> float:
    """A round length (1, 2 or 5 times a power of ten) of about a quarter of the width."""
    power = 10.0 ** math.floor(math.log10(width / 4))
    return power * max(factor for factor in (1, 2, 5) if factor * power <= width / 4)


def scale_bar_label(length: float) -> str:
    """A length in metres as people say it."""
    return f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"


def _scale_bar(axis: Any, layers: Layers) -> None:
    left, right, bottom, top = layers.extent
    length, margin = scale_bar_metres(right - left), 0.045 * (right - left)
    height = 0.014 * (top - bottom)
    place = (left + margin, bottom + margin)
    axis.add_patch(Rectangle(place, length, height, facecolor="white", edgecolor="black", linewidth=0.8, zorder=5))
    axis.text(
        place[0] + length / 2,
        place[1] + 1.6 * height,
        scale_bar_label(length),
        ha="center",
        va="bottom",
        fontsize=9.5,
        color="white",
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )
