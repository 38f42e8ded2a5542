"""Augmentation of images: what is left when nothing is random, ranges, distances, and mixing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sat2sound.preprocessing import normalise_pixels
from sat2sound.satellite_types import satellite_type
from sat2sound.training.image_augmentation import (
    ImageAugmentation,
    augment_images,
    ground_sample_distance,
    normalise,
)
from sat2sound.training.image_mixing import Mixing, draw_mixing

AERIAL = satellite_type("aerial")
NOTHING = ImageAugmentation(smallest_crop=256, colour=0.0, blur=0.0, noise=0.0, tilt=0.0)


def tiles(count: int = 6) -> Tensor:
    random = np.random.default_rng(1)
    coarse = torch.from_numpy(random.integers(0, 256, (count, 3, 8, 8)).astype(np.float32))
    smooth = functional.interpolate(coarse, (256, 256), mode="bilinear")
    return smooth.round().to(torch.uint8).permute(0, 2, 3, 1)


def test_without_strength_a_view_is_a_turned_or_mirrored_tile() -> None:
    originals = tiles()
    views, distances = augment_images(originals, 256, AERIAL, NOTHING, np.random.default_rng(3))
    for tile, view in zip(originals.permute(0, 3, 1, 2).float() / 255, views, strict=True):
        turned = [torch.rot90(flipped, turns, (1, 2)) for flipped in (tile, tile.flip(2)) for turns in range(4)]
        assert min(float((view - other).abs().max()) for other in turned) < 1e-3
    assert distances.tolist() == pytest.approx([0.3 * 224 / 256] * 6)


def test_same_seed_same_views_and_all_in_range() -> None:
    originals = tiles()
    first, distances = augment_images(originals, 64, AERIAL, ImageAugmentation(), np.random.default_rng(4))
    again, _ = augment_images(originals, 64, AERIAL, ImageAugmentation(), np.random.default_rng(4))
    other, _ = augment_images(originals, 64, AERIAL, ImageAugmentation(), np.random.default_rng(5))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert first.shape == (6, 3, 64, 64)
    assert 0.0 <= float(first.min()) <= float(first.max()) <= 1.0
    assert 0.3 * 144 / 256 * 224 / 64 <= float(distances.min()) <= float(distances.max()) <= 0.3 * 224 / 64


def test_a_whole_tile_at_the_served_size_has_the_native_distance() -> None:
    assert ground_sample_distance(np.array([1.0, 0.5]), 224, AERIAL).tolist() == pytest.approx([0.3, 0.15])


def test_normalisation_is_the_one_that_is_served() -> None:
    pixels = tiles(2)[:, :224, :224]
    expected = normalise_pixels(pixels.numpy())
    assert np.abs(normalise(pixels.permute(0, 3, 1, 2).float() / 255).numpy() - expected).max() < 1e-5


def test_share_of_a_mixed_image_is_the_share_of_its_pixels() -> None:
    images = torch.zeros(4, 3, 32, 32)
    images[2:] = 1.0
    for seed in range(20):
        mixing = draw_mixing(images, np.random.default_rng(seed))
        crossed = Mixing(torch.tensor([2, 3, 0, 1]), mixing.share, mixing.box)
        mixed = crossed.apply(images)
        assert float(mixed[0].mean()) == pytest.approx(1 - mixing.share, abs=1e-5)
        assert crossed.targets(torch.eye(4))[0].tolist() == pytest.approx([mixing.share, 0, 1 - mixing.share, 0])
