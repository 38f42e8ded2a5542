"""Which folders the `datasets` library reads; looked at without it."""

from __future__ import annotations

from pathlib import Path

_SAVED = "state.json"  # in every folder that `save_to_disk` wrote a split to


def is_shard_folder(folder: Path) -> bool:
    """Whether a folder holds Parquet shards (in it or one level below), or what `save_to_disk` wrote."""
    return is_saved_folder(folder) or any(
        True for pattern in ("*.parquet", "*/*.parquet") for _ in folder.glob(pattern)
    )


def is_saved_folder(folder: Path) -> bool:
    """Whether `save_to_disk` wrote it: one split per folder below it."""
    return bool(saved_splits(folder))


def saved_splits(folder: Path) -> list[str]:
    """The splits that `save_to_disk` wrote, by name."""
    return sorted(path.parent.name for path in folder.glob(f"*/{_SAVED}"))
