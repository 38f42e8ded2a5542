"""Which reader a path belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sat2sound.data.samples import Sample
from sat2sound.data.scene_folder import is_scene_folder, scene_samples
from sat2sound.errors import DatasetError


def open_samples(data: Path, split: str) -> Iterable[Sample]:
    """The samples of one split, read as they are asked for.

    Raises DatasetError if the layout is not a known one; readers raise DatasetError or ConfigurationError while they
    are read.
    """
    if not data.exists():
        raise DatasetError(f"{data} does not exist", fix="give the dataset's folder with --data")
    if is_scene_folder(data):
        return scene_samples(data, split)
    raise DatasetError(f"{data} has no known layout", fix="give a folder with images.csv and audio.csv")
