"""Pictures that look somewhat like the ground from above: land covers, a road, fields, water. No real place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from sat2sound.contract import IMAGE_SIZE

Pictures = npt.NDArray[np.uint8]
# Water, forest, crops, dry grass, sand, asphalt, roofs: red, green, blue.
_COVERS = ((52, 88, 104), (44, 74, 40), (104, 128, 62), (150, 142, 92), (204, 190, 158), (98, 98, 100), (150, 96, 78))


def pictures(count: int, random: np.random.Generator) -> Pictures:
    """uint8 [count, 224, 224, 3], each another scene."""
    return np.stack([_scene(random) for _ in range(count)])


def _scene(random: np.random.Generator) -> npt.NDArray[np.uint8]:
    chosen = random.permutation(len(_COVERS))[: random.integers(2, 5)]
    heights = np.stack([_noise(random, int(random.integers(2, 9))) for _ in chosen])
    scene = np.asarray(_COVERS, np.float64)[chosen][heights.argmax(axis=0)]
    if random.random() < 0.5:
        _road(scene, random)
    if random.random() < 0.4:
        _houses(scene, random)
    texture = 30 * (_noise(random, 40) - 0.5) + random.normal(0, 4, (IMAGE_SIZE, IMAGE_SIZE))
    light = random.uniform(0.7, 1.25)
    lit: npt.NDArray[np.uint8] = np.clip(np.round((scene + texture[..., None]) * light), 0, 255).astype(np.uint8)
    return lit


def _road(scene: npt.NDArray[np.float64], random: np.random.Generator) -> None:
    rows, columns = np.mgrid[0:IMAGE_SIZE, 0:IMAGE_SIZE]
    angle, offset = random.uniform(0, np.pi), random.uniform(60, 164)
    away = (columns - offset) * np.sin(angle) + (rows - offset) * np.cos(angle)
    scene[np.abs(away) < random.uniform(3, 12)] = (112, 110, 108)


def _houses(scene: npt.NDArray[np.float64], random: np.random.Generator) -> None:
    for _ in range(random.integers(5, 30)):
        top, left = random.integers(0, IMAGE_SIZE - 24, 2)
        height, width = random.integers(8, 24, 2)
        scene[top : top + height, left : left + width] = random.uniform(90, 210) * np.array([1.0, 0.85, 0.8])


def _noise(random: np.random.Generator, cells: int) -> npt.NDArray[np.float64]:
    """Smooth noise, 0..1, [224, 224], from a grid of cells x cells random values."""
    grid = Image.fromarray(random.random((cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC), dtype=np.float64)
