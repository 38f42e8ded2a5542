"""Scores as colours, with the imagery showing through as light and shade: a colour means the same on any ground."""

from __future__ import annotations

import matplotlib
import numpy as np
import numpy.typing as npt

from sat2sound.clients.maps.imagery import View

# Of even steps for every eye, colour-blind ones included, and without black or grey, which are for what has no score.
COLOURS = "plasma"
NO_SCORE = 0.88  # lightness of what has no score
_RELIEF = 0.16  # how far the ground lightens or darkens a colour
_FADED = 0.35  # how much of the ground is left where nothing has a score


def coloured(band: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Scores [H, W] -> RGBA uint8 [H, W, 4], see-through where there is no score."""
    scaled = np.clip((np.nan_to_num(band, nan=low) - low) / (high - low), 0, 1)
    colours: npt.NDArray[np.uint8] = matplotlib.colormaps[COLOURS](scaled, bytes=True)
    colours[..., 3] = np.where(np.isfinite(band), 255, 0)
    return colours


def draped(band: npt.NDArray[np.float32], low: float, high: float, ground: View | None) -> npt.NDArray[np.uint8]:
    """The same over the ground, in the ground's size: RGB uint8 [H2, W2, 3], pale where there is no score."""
    colours = coloured(band, low, high)
    if ground is not None:
        height, width = ground.valid.shape
        rows, columns = (
            ((np.arange(large) + 0.5) * small / large).astype(int)
            for large, small in zip((height, width), band.shape, strict=True)
        )
        colours = colours[rows[:, None], columns[None]]
    paint, there = colours[..., :3] / 255.0, colours[..., 3:] > 0
    shade, pale = np.zeros_like(paint[..., :1]), np.full_like(paint[..., :1], NO_SCORE)
    if ground is not None and ground.valid.any():
        grey = ground.pixels.mean(axis=-1, keepdims=True) / 255.0
        seen = grey[ground.valid]
        relief = np.clip((grey - np.median(seen)) / (2 * seen.std() + 1e-6), -1, 1)
        shade = np.where(ground.valid[..., None], _RELIEF * relief, 0.0)
        pale = np.where(ground.valid[..., None], NO_SCORE + _FADED * (grey - 0.75), 1.0)
    picture = np.where(there, paint + shade, pale)
    return np.asarray((np.clip(picture, 0, 1) * 255).round(), dtype=np.uint8)


def on_white(ground: View) -> npt.NDArray[np.uint8]:
    """The imagery with white where it has no data: RGB uint8 [H, W, 3]."""
    return np.where(ground.valid[..., None], ground.pixels, np.uint8(255))


def ramp() -> npt.NDArray[np.uint8]:
    """All colours from low to high: RGBA uint8 [1, 256, 4]."""
    colours: npt.NDArray[np.uint8] = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 256)[None], bytes=True)
    return colours
