"""Which reader a dataset belongs to."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sat2sound.data.choice import Choice
from sat2sound.data.samples import Sample, SampleTable
from sat2sound.data.scene_folder import is_scene_folder, scene_samples
from sat2sound.data.table_file import find_table, open_table_file
from sat2sound.errors import DatasetError

if TYPE_CHECKING:
    from sat2sound.data.streams import SampleStream

LAYOUTS = (
    "a folder with samples.csv, with Parquet shards, or with images.csv and audio.csv, or hf://datasets/OWNER/NAME"
)


def open_samples(data: Path | str, split: str, choice: Choice | None = None) -> Iterable[Sample]:
    """The samples of one split in the dataset's order, read as they are asked for; nothing is copied.

    data: a folder or a .csv file, or hf://datasets/OWNER/NAME. choice: which of several images and captions.
    Raises DatasetError if the layout is not a known one or has no such split; readers raise DatasetError or
    ConfigurationError while they are read.
    """
    if is_shards(data):
        return open_stream(data, split, choice)
    return open_table(data, split, choice)


def open_table(data: Path | str, split: str, choice: Choice | None = None) -> SampleTable:
    """The samples of one split in any order, for training on local data. Arguments and errors as `open_samples`.

    Parquet shards are converted to Arrow files first, in the cache of the `datasets` library: this takes the space of
    the columns that are read once more.
    """
    chosen = choice or Choice()
    if is_shards(data):
        from sat2sound.data.streams import open_shard_table

        return open_shard_table(str(data), split, chosen)
    folder = Path(data)
    if table := find_table(folder):
        return open_table_file(table, split, chosen)
    if is_scene_folder(folder):
        return list(scene_samples(folder, split))
    raise DatasetError(f"{data} has no known layout", fix=f"give {LAYOUTS}")


def open_stream(data: Path | str, split: str, choice: Choice | None = None) -> SampleStream:
    """The samples of one split as a stream, for training on the hub's shards. Raises as `open_samples`."""
    if not is_shards(data):
        raise DatasetError(f"{data} holds no Parquet shards to stream", fix="open it as a table")
    from sat2sound.data.streams import open_shard_stream

    return open_shard_stream(str(data), split, choice or Choice())


def is_shards(data: Path | str) -> bool:
    """Whether the `datasets` library reads it. Raises DatasetError: nothing there, or the library is not installed."""
    remote = str(data).startswith("hf:/")
    folder = Path(data)
    if not remote and not folder.exists():
        hint = f", or hf://datasets/{data} if it is one of the hub" if str(data).count("/") == 1 else ""
        raise DatasetError(f"{data} does not exist", fix=f"give the dataset's folder with --data{hint}")
    if not remote and (folder.is_file() or find_table(folder) or is_scene_folder(folder)):
        return False
    if importlib.util.find_spec("datasets") is None:
        raise DatasetError("reading Parquet shards needs the datasets library", fix="pip install 'sat2sound[train]'")
    from sat2sound.data.streams import is_hub_name, is_shard_folder

    if remote and not is_hub_name(str(data)):
        raise DatasetError(f"{data} is no name of the hub", fix="write hf://datasets/OWNER/NAME")
    return remote or is_shard_folder(folder)
