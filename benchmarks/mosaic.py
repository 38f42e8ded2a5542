"""A raster whose scenes are known cell by cell: test images of the starter's data, side by side."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

SIDE = 256
METRES_PER_PIXEL = 0.3
# Somewhere in the middle of a UTM zone: the images come from all over the United States, the mosaic from nowhere.
_CRS, _LEFT, _TOP = "EPSG:32614", 500_000.0, 4_400_000.0


def write_mosaic(data: Path, path: Path, *, split: str = "test", columns: int = 21, seed: int = 7) -> list[list[str]]:
    """Write all images of a split in random order as one GeoTIFF. Returns the scene of every cell, row by row."""
    with (data / "images.csv").open(encoding="utf-8", newline="") as file:
        entries = [(row["path"], row["scene"]) for row in csv.DictReader(file) if row["split"] == split]
    order = np.random.default_rng(seed).permutation(len(entries))[: len(entries) // columns * columns]
    rows = len(order) // columns
    picture = np.zeros((3, rows * SIDE, columns * SIDE), np.uint8)
    scenes = [[""] * columns for _ in range(rows)]
    for place, index in enumerate(order):
        name, scene = entries[index]
        row, column = divmod(place, columns)
        with Image.open(data / name) as image:
            tile = np.asarray(image.convert("RGB").resize((SIDE, SIDE)))
        picture[:, row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = np.moveaxis(tile, -1, 0)
        scenes[row][column] = scene
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=3,
        height=picture.shape[1],
        width=picture.shape[2],
        dtype="uint8",
        crs=_CRS,
        transform=Affine(METRES_PER_PIXEL, 0, _LEFT, 0, -METRES_PER_PIXEL, _TOP),
        tiled=True,
        compress="deflate",
        photometric="RGB",
    ) as raster:
        raster.write(picture)
        raster.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    return scenes
