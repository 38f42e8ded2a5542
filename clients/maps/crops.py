"""One picture of the ground -> a crop for every cell of a block, prepared as the model's encoder takes it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.transform import Affine

from sat2sound.clients.maps.footprint import Footprint
from sat2sound.clients.maps.grid import Block, Grid
from sat2sound.clients.maps.imagery import Imagery, View
from sat2sound.contract import IMAGE_SIZE
from sat2sound.preprocessing import crop_and_resize

MAX_BLOCK_SIDE = 8  # cells: 64 crops, a few requests
MAX_VIEW_PIXELS = 3072  # longest side of one picture: 28 MB of colours
# Blocks take turns: all at once, as at the start of a run, the first would reach the server no sooner than the last.
_turn = threading.Semaphore(max(1, (os.cpu_count() or 1) // 2))


def block_side(grid: Grid, footprint: Footprint) -> int:
    """Cells per side of the blocks of work. Depends on the plan alone, never on what is done already."""
    side = MAX_BLOCK_SIDE
    while side > 1 and _view_pixels(side, grid, footprint) > MAX_VIEW_PIXELS:
        side //= 2
    if grid.spacing > 2 * footprint.metres:
        return 1  # most of a common picture would lie between the crops
    return side


def _view_pixels(side: int, grid: Grid, footprint: Footprint) -> int:
    return round((side - 1) * grid.spacing / footprint.metres_per_pixel) + footprint.pixels


def block_crops(
    imagery: Imagery, grid: Grid, footprint: Footprint, block: Block, wanted: npt.NDArray[np.bool_], min_valid: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The crops of the wanted cells that show enough, and which cells these are.

    wanted: bool [height, width] of the block. min_valid: share of a crop's pixels that must have data. Returns pixels
    uint8 [n, 224, 224, 3] in row order, and bool [height, width] with n true cells. Raises OSError, ImageryError.
    """
    if imagery.remote:  # several wait for the network together
        view = _view(imagery, grid, footprint, block)
        with _turn:
            return _cut(view, grid, footprint, block, wanted, min_valid)
    with _turn:
        return _cut(_view(imagery, grid, footprint, block), grid, footprint, block, wanted, min_valid)


def _cut(
    view: View, grid: Grid, footprint: Footprint, block: Block, wanted: npt.NDArray[np.bool_], min_valid: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    picture, side = Image.fromarray(view.pixels), footprint.pixels
    pixels = np.empty((int(wanted.sum()), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    shown, count, complete = np.zeros_like(wanted), 0, view.valid.all()
    for (row, column), (top, left) in _corners(grid, footprint, block):
        if not wanted[row, column]:
            continue
        if complete or view.valid[top : top + side, left : left + side].mean() >= min_valid:
            image = picture.crop((left, top, left + side, top + side))
            pixels[count] = crop_and_resize(image, footprint.satellite, footprint.zoom_level)
            shown[row, column] = True
            count += 1
    return pixels[:count], shown


def _view(imagery: Imagery, grid: Grid, footprint: Footprint, block: Block) -> View:
    """One picture that holds every crop of the block, at the model's ground sample distance."""
    native = footprint.metres_per_pixel
    left = float(grid.x[block.column]) - footprint.metres / 2
    top = float(grid.y[block.row]) + footprint.metres / 2
    height, width = (
        round((count - 1) * grid.spacing / native) + footprint.pixels for count in (block.height, block.width)
    )
    return imagery.view(grid.crs, Affine(native, 0, left, 0, -native, top), height, width)


def _corners(grid: Grid, footprint: Footprint, block: Block) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Row and column in the block, and top and left of the crop in the picture: to the nearest pixel."""
    step = grid.spacing / footprint.metres_per_pixel
    for row in range(block.height):
        for column in range(block.width):
            yield (row, column), (round(row * step), round(column * step))
