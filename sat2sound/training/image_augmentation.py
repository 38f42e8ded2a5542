"""Augmentation of aerial images, a whole batch at once: scale, turn, colour, sharpness. Every turn is as likely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sat2sound.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from sat2sound.satellite_types import SatelliteType


@dataclass(frozen=True)
class ImageAugmentation:
    """smallest_crop: smallest square's side in pixels; colour: strength 0..1; blur, noise, tilt: shares of images."""

    smallest_crop: int = 144
    colour: float = 0.4
    blur: float = 0.25
    noise: float = 0.2
    tilt: float = 0.3


def augment_images(
    tiles: Tensor, size: int, satellite: SatelliteType, settings: ImageAugmentation, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Random views of tiles.

    tiles: uint8 [B, T, T, 3], whole tiles at the satellite type's native ground sample distance. size: side of the
    views in pixels. Returns the views, float32 [B, 3, size, size] in 0..1, and their ground sample distances in metres
    per pixel, float32 [B] (see `ground_sample_distance`).
    """
    batch, tile = tiles.shape[0], tiles.shape[1]
    side = np.sqrt(random.uniform((settings.smallest_crop / tile) ** 2, 1.0, batch))  # share of the tile's side
    views = functional.grid_sample(
        tiles.permute(0, 3, 1, 2).to(torch.float32) / 255.0,
        _sampling_grid(side, size, settings.tilt, random),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )
    views = _change_colour(views, settings.colour, random)
    views = _soften(views, settings.blur, random)
    noisy = _chosen(batch, settings.noise, random)
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    views = views + noisy * 0.03 * torch.randn(views.shape, generator=generator)
    return views.clamp(0.0, 1.0), ground_sample_distance(side, size, satellite)


def ground_sample_distance(side: npt.NDArray[np.float64], size: int, satellite: SatelliteType) -> Tensor:
    """Of views that show `side` (share of a tile) in `size` pixels: float32 [B].

    A whole tile shown at 224 px has the native distance (MODEL.md: the resize to 224 is not counted).
    """
    return torch.from_numpy((satellite.metres_per_pixel * side * 224.0 / size).astype(np.float32))


def normalise(views: Tensor) -> Tensor:
    """float32 [B, 3, H, W] in 0..1 -> the same, by ImageNet mean and deviation."""
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (views - mean) / deviation


def _sampling_grid(side: npt.NDArray[np.float64], size: int, tilt: float, random: np.random.Generator) -> Tensor:
    """Crop, quarter turns, flips and, for some, any angle: float32 [B, size, size, 2]."""
    batch = len(side)
    angle = random.integers(0, 4, batch) * (np.pi / 2)
    angle = angle + np.where(random.random(batch) < tilt, random.uniform(-np.pi / 4, np.pi / 4, batch), 0.0)
    flip = np.where(random.random(batch) < 0.5, -1.0, 1.0)
    centre = random.uniform(-1.0, 1.0, (batch, 2)) * (1.0 - side)[:, None]
    matrix = np.zeros((batch, 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1] = side * np.cos(angle) * flip, -side * np.sin(angle)
    matrix[:, 1, 0], matrix[:, 1, 1] = side * np.sin(angle) * flip, side * np.cos(angle)
    matrix[:, :, 2] = centre
    grid: Tensor = functional.affine_grid(torch.from_numpy(matrix), [batch, 3, size, size], align_corners=False)
    return grid


def _change_colour(views: Tensor, strength: float, random: np.random.Generator) -> Tensor:
    """Exposure, contrast, saturation, colour cast and gamma, as sensors, seasons and providers differ."""
    batch = len(views)

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.from_numpy(random.uniform(low, high, (batch, channels, 1, 1)).astype(np.float32))

    views = views.clamp(1e-4, 1.0) ** torch.exp(draw(-strength, strength))
    views = views * draw(1 - strength, 1 + strength)
    mean = views.mean(dim=(1, 2, 3), keepdim=True)
    views = mean + (views - mean) * draw(1 - strength, 1 + strength)
    grey = views.mean(dim=1, keepdim=True)
    views = grey + (views - grey) * draw(max(0.0, 1 - 2.5 * strength), 1 + 1.5 * strength)
    return views * draw(1 - 0.4 * strength, 1 + 0.4 * strength, 3) + draw(-0.2 * strength, 0.2 * strength)


def _soften(views: Tensor, share: float, random: np.random.Generator) -> Tensor:
    """Some views as a coarser sensor would see them: shrunk and enlarged again."""
    size = views.shape[-1]
    small = max(8, int(size / random.uniform(1.3, 2.5)))
    chosen = torch.from_numpy(np.flatnonzero(random.random(len(views)) < share))
    if len(chosen) == 0:
        return views
    shrunk = functional.interpolate(views[chosen], (small, small), mode="bilinear", antialias=True)
    softened = functional.interpolate(shrunk, (size, size), mode="bilinear")
    return views.index_copy(0, chosen, softened)


def _chosen(batch: int, share: float, random: np.random.Generator) -> Tensor:
    return torch.from_numpy((random.random(batch) < share).astype(np.float32)).view(batch, 1, 1, 1)
