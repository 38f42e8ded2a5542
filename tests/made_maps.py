"""Small rasters with known content, and plans over them, for the tests of maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from sat2sound.clients.maps.footprint import Footprint
from sat2sound.clients.maps.imagery.raster import RasterImagery
from sat2sound.clients.maps.plan import Plan, plan_map
from sat2sound.satellite_types import SATELLITE_TYPES

AERIAL = Footprint(SATELLITE_TYPES["aerial"])
UTM = "EPSG:32633"  # central Europe, north
LEFT, TOP = 500_000.0, 5_400_000.0
RED, GREEN, BLUE = ColorInterp.red, ColorInterp.green, ColorInterp.blue


def write_raster(
    path: Path,
    pixels: np.ndarray,
    *,
    crs: str | None = UTM,
    transform: Affine | None = None,
    resolution: float = 0.3,
    colours: Sequence[ColorInterp] | None = (RED, GREEN, BLUE),
    nodata: float | None = None,
    **options: Any,
) -> Path:
    """Write [bands, H, W] as a tiled GeoTIFF. resolution: metres per pixel, unless a transform is given."""
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    with rasterio.open(
        path,
        "w",
        count=pixels.shape[0],
        height=pixels.shape[1],
        width=pixels.shape[2],
        dtype=pixels.dtype,
        crs=crs,
        transform=transform or Affine(resolution, 0, LEFT, 0, -resolution, TOP),
        nodata=nodata,
        **{**profile, **options},
    ) as raster:
        raster.write(pixels)
        if colours is not None:
            raster.colorinterp = list(colours)
    return path


def cell_colours(rows: int, columns: int, seed: int = 3) -> np.ndarray:
    """A natural colour, of any brightness, for every cell of a grid: uint8 [rows, columns, 3], none of them black."""
    random = np.random.default_rng(seed)
    brightness, tint = random.integers(50, 220, (rows, columns, 1)), random.integers(-20, 21, (rows, columns, 3))
    return (brightness + tint).astype(np.uint8)


def coloured_cells(colours: np.ndarray, side: int = 256) -> np.ndarray:
    """Each cell as a square of its colour with a little texture: uint8 [3, rows * side, columns * side]."""
    ramp = np.arange(side, dtype=np.int64) % 16 - 8
    texture = np.tile(ramp[:, None] + ramp[None, :] // 2, colours.shape[:2])
    picture = np.repeat(np.repeat(colours.astype(np.int64), side, 0), side, 1) + texture[..., None]
    return np.ascontiguousarray(np.moveaxis(picture.clip(1, 255).astype(np.uint8), -1, 0))


def raster_plan(path: Path, **options: Any) -> Plan:
    """The plan over a raster's whole extent, for the aerial type."""
    imagery, facts = RasterImagery(str(path)).prepared()
    return plan_map(imagery, facts, AERIAL, **options)[0]


def damage_last_tile(path: Path) -> None:
    """Overwrite the bytes of a raster's last tile: reading it fails, reading the others does not."""
    with rasterio.open(path) as raster:
        rows, columns = (-(-size // block) for size, block in zip(raster.shape, raster.block_shapes[0], strict=True))
        offset = int(raster.get_tag_item(f"BLOCK_OFFSET_{columns - 1}_{rows - 1}", "TIFF", bidx=1))
        size = int(raster.get_tag_item(f"BLOCK_SIZE_{columns - 1}_{rows - 1}", "TIFF", bidx=1))
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = b"\xff" * size
    path.write_bytes(data)
