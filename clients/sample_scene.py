"""A synthetic aerial beach, drawn by this module: the demo's image when there is neither a picture nor a network.

It shows no real place. Everything follows from the seed, so that the same picture is drawn everywhere.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float64]

SIDE = 256
METRES_PER_PIXEL = 0.3
LABEL = "synthetic scene: drawn by this project's own code, not a real place"
SEED = 20

# Pale, as aerial surveys show coasts at this scale; no vegetation, since the starter takes drawn shrubs for machinery.
DEEP, SHALLOW = (60, 110, 118), (110, 160, 150)
WET_SAND, DRY_SAND = (160, 150, 130), (205, 195, 175)
FOAM = (232, 236, 234)


def sample_scene(seed: int = SEED) -> npt.NDArray[np.uint8]:
    """A beach from above, uint8 [256, 256, 3], 0.3 m per pixel: sea with breaking waves, and bare sand."""
    random = np.random.Generator(np.random.PCG64(seed))
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    # Distance inland from the water line in pixels: a slanted shore that swings gently and frays a little.
    inland = (
        (columns - 132) * 0.97 + (rows - 128) * 0.24 + 11 * np.sin(rows / 58 + 0.7) + 22 * (_noise(random, 4) - 0.5)
    )

    scene = _blend(np.broadcast_to(DEEP, (SIDE, SIDE, 3)), SHALLOW, _ramp(inland, -120, -6))
    swell = np.sin(inland / 5.2 + 9 * _noise(random, 5)) * _ramp(inland, -128, -20)
    scene = scene + (6 * swell + 26 * (_noise(random, 24) - 0.5))[..., None]
    scene = _blend(scene, WET_SAND, _ramp(inland, -1.5, 1.5))
    scene = _blend(scene, DRY_SAND, _ramp(inland + 14 * (_noise(random, 8) - 0.5), 10, 24))
    scene = (
        scene + (_ramp(inland, 0, 6) * (18 * (_noise(random, 64) - 0.5) + 20 * (_noise(random, 6) - 0.5)))[..., None]
    )
    scene = _blend(scene, FOAM, _surf(random, inland))
    return np.clip(np.round(scene), 0, 255).astype(np.uint8)


def sample_scene_png(seed: int = SEED) -> bytes:
    """The scene as PNG bytes, as a server takes them."""
    buffer = io.BytesIO()
    Image.fromarray(sample_scene(seed)).save(buffer, format="PNG")
    return buffer.getvalue()


def _surf(random: np.random.Generator, inland: Plane) -> Plane:
    """How much foam there is, 0..1: a broad frayed belt of broken water at the edge, and breakers further out."""
    lace = _noise(random, 20)
    belt = _ramp(inland + 44 * (_noise(random, 7) - 0.5), -26, -15) * (1 - _ramp(inland + 9 * (lace - 0.5), 0, 3))
    foam = belt * (0.35 + 0.65 * _ramp(lace, 0.4, 0.6))
    for distance, width in ((-76, 2.2), (-50, 3.4)):
        line = inland - distance + 30 * (_noise(random, 5) - 0.5)
        trail = np.where(line > 0, np.exp(-((line / width) ** 2)), np.exp(-((line / (width * 3)) ** 2)) * 0.8)
        foam = np.maximum(foam, trail * _ramp(_noise(random, 9), 0.4, 0.56) * (0.3 + 0.7 * _noise(random, 40)))
    return foam


def _noise(random: np.random.Generator, cells: int) -> Plane:
    """Smooth noise, about 0..1 around 0.5, [256, 256]: random grids of `cells`, twice, four and eight times as many."""
    total = np.zeros((SIDE, SIDE))
    weights = 0.0
    for octave in range(4):
        count = min(cells * 2**octave, SIDE)
        grid = random.random((count + 1, count + 1))
        place = np.linspace(0, count, SIDE)
        low = np.minimum(place.astype(np.int64), count - 1)
        part = place - low
        part = part * part * (3 - 2 * part)
        across = grid[:, low] * (1 - part) + grid[:, low + 1] * part
        total += (across[low] * (1 - part[:, None]) + across[low + 1] * part[:, None]) / 2**octave
        weights += 1 / 2**octave
    return np.asarray(total / weights)


def _ramp(values: Plane, start: float, end: float) -> Plane:
    """0 up to start, 1 from end on, smooth between."""
    part = np.clip((values - start) / (end - start), 0.0, 1.0)
    return np.asarray(part * part * (3 - 2 * part))


def _blend(scene: Plane, colour: tuple[int, int, int], share: Plane) -> Plane:
    return scene * (1 - share[..., None]) + np.asarray(colour) * share[..., None]
