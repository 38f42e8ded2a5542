"""The starter's data folder (images.csv, audio.csv): images with scenes, recordings with groups; no pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sat2sound.data.samples import Sample
from sat2sound.training.starter_data import PERMISSIVE_TIER, SCENE_GROUP, StarterFolder

FILES = ("images.csv", "audio.csv")


def is_scene_folder(folder: Path) -> bool:
    """Whether a folder has this layout."""
    return all((folder / name).is_file() for name in FILES)


def scene_samples(folder: Path, split: str) -> Iterator[Sample]:
    """All images of a split, then its recordings with a permissive licence.

    Raises ConfigurationError for missing columns and for a split without rows.
    """
    reader = StarterFolder(folder)
    images, recordings = FILES
    for row in reader.rows(images, ("path", "scene", "split"), split):
        scene = row["scene"]
        yield Sample(row["path"], image=folder / row["path"], scene=scene, group=SCENE_GROUP.get(scene))
    for row in reader.rows(recordings, ("path", "group", "split", "tier"), split):
        if row["tier"] == PERMISSIVE_TIER:
            yield Sample(row["path"], audio=folder / row["path"], group=row["group"])
