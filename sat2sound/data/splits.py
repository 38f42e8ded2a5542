"""Names of splits: one spelling for those that data sets spell in several ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sat2sound.errors import DatasetError

_SPELLINGS = {"train": ("train", "training"), "val": ("val", "validation", "valid", "dev"), "test": ("test", "testing")}
SPLITS = tuple(_SPELLINGS)
_CANONICAL = {spelling: split for split, spellings in _SPELLINGS.items() for spelling in spellings}


def canonical_split(name: str) -> str | None:
    """train, val or test, for any of their spellings; None for any other name."""
    return _CANONICAL.get(name.strip().lower())


def choose_split(split: str, found: Iterable[str], dataset: object) -> str:
    """The name that the dataset itself has for a split. Raises DatasetError that lists what it has."""
    own = list(found)
    if split in own:
        return split
    asked = canonical_split(split)
    for name in own:
        if asked is not None and canonical_split(name) == asked:
            return name
    raise no_such_split(split, dict.fromkeys(own), dataset)


def no_such_split(split: str, found: Mapping[str, int | None], dataset: object) -> DatasetError:
    """The error for a split that a dataset has not. found: its splits, with their rows if these are known."""
    listed = ", ".join(name if rows is None else f"{name} ({rows} rows)" for name, rows in found.items())
    return DatasetError(
        f"{dataset} has no rows of split {split!r}; it has {listed or 'none'}", fix="choose one of these"
    )
