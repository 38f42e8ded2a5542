"""The bundled scene: the same everywhere, and a beach."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from sat2sound.clients.sample_scene import SIDE, sample_scene, sample_scene_png


def test_the_same_picture_every_time() -> None:
    assert np.array_equal(sample_scene(), sample_scene())
    assert not np.array_equal(sample_scene(), sample_scene(seed=21))


def test_it_looks_like_a_beach() -> None:
    scene = sample_scene().astype(np.float64)
    assert scene.shape == (SIDE, SIDE, 3)
    sea, sand = scene[:, :40], scene[:, 170:]
    assert sea[..., 2].mean() > sea[..., 0].mean() + 30  # blue over red
    assert sand[..., 0].mean() > 180
    assert sand[..., 0].mean() > sand[..., 2].mean() + 15  # yellowish
    foam = (scene.min(axis=2) > 205).mean(axis=0)
    assert foam[90:150].max() > 0.2  # surf at the water's edge ...
    assert foam[:20].max() < 0.02  # ... and none on the open sea


def test_png_holds_the_scene() -> None:
    with Image.open(io.BytesIO(sample_scene_png())) as image:
        assert np.array_equal(np.asarray(image), sample_scene())
