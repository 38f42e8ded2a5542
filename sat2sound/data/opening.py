"""Which reader a dataset belongs to."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sat2sound.data.choice import Choice
from sat2sound.data.samples import Sample, SampleTable
from sat2sound.data.scene_folder import is_scene_folder, scene_samples
from sat2sound.data.shard_folder import is_saved_folder, is_shard_folder
from sat2sound.data.stream_order import WINDOW
from sat2sound.data.table_file import find_table, open_table_file
from sat2sound.errors import DatasetError

if TYPE_CHECKING:
    from sat2sound.data.passes import PassSource

LAYOUTS = (
    "a folder with samples.csv, with Parquet shards, or with images.csv and audio.csv, "
    "or a dataset of the hub, OWNER/NAME"
)


def open_samples(data: Path | str, split: str, choice: Choice | None = None) -> Iterable[Sample]:
    """The samples of one split in the dataset's order, read as they are asked for; nothing is copied.

    data: a folder or a .csv file, or a dataset of the hub as OWNER/NAME or hf://datasets/OWNER/NAME@REVISION. choice:
    which of several images and captions. Raises DatasetError if the layout is not a known one or has no such split;
    readers raise DatasetError or ConfigurationError while they are read.
    """
    if is_shards(data):
        from sat2sound.data.streams import open_shard_stream

        return open_shard_stream(str(data), split, choice or Choice())
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


def open_source(
    data: Path | str, split: str, choice: Choice | None = None, *, window: int = WINDOW, workers: int = 1
) -> PassSource:
    """The samples of one split of Parquet shards, here or on the hub, for training without a copy on disk.

    window, workers: see `ShardSource`. Raises as `open_samples`.
    """
    if not is_shards(data):
        raise DatasetError(f"{data} holds no Parquet shards to stream", fix="leave out --stream")
    from sat2sound.data.shard_source import ShardSource, read_footers
    from sat2sound.data.streams import readable, row_reader, shard_files

    name = str(data)
    if is_saved_folder(Path(name)):
        raise DatasetError(f"{name} was written by save_to_disk and needs no copy", fix="leave out --stream")
    with readable(name):
        footers = read_footers(shard_files(name, split))
    return ShardSource(footers, row_reader(name, footers.names, choice or Choice()), name, window, workers)


def is_shards(data: Path | str) -> bool:
    """Whether the `datasets` library reads it. Raises DatasetError: nothing there, or the library is not installed."""
    folder, written = Path(data), str(data)
    here = folder.exists()
    if here and (folder.is_file() or find_table(folder) or is_scene_folder(folder) or not is_shard_folder(folder)):
        return False
    if not here and "/" not in written.strip("/"):
        raise DatasetError(f"{data} does not exist", fix="give a folder, or a dataset of the hub as OWNER/NAME")
    if importlib.util.find_spec("datasets") is None:
        raise DatasetError("reading Parquet shards needs the datasets library", fix="pip install 'sat2sound[train]'")
    from sat2sound.data.streams import hub_name

    if not here and hub_name(written) is None:
        raise DatasetError(
            f"{data} does not exist, and is no name of the hub",
            fix="give a folder, or a dataset of the hub as OWNER/NAME",
        )
    return True
