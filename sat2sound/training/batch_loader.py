"""Batches by their number, from where a training stands: what Lightning iterates over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from sat2sound.training.task import Task


class _Numbered(Dataset[Any]):
    """Item `index` is this process's part of that batch."""

    def __init__(self, task: Task, rank: int, processes: int) -> None:
        self.task, self.rank, self.processes = task, rank, processes

    def __getitem__(self, index: int) -> Any:
        return self.task.batch(index, self.rank, self.processes)


class _RestOfPass(Sampler[int]):
    """The numbers of the batches from the next one to the end of its pass."""

    def __init__(self, per_pass: int, following: Callable[[], int]) -> None:
        self.per_pass, self.following = per_pass, following

    def __iter__(self) -> Iterator[int]:
        first = self.following()
        return iter(range(first, (first // self.per_pass + 1) * self.per_pass))

    def __len__(self) -> int:
        return self.per_pass


def batch_loader(
    task: Task, per_pass: int, following: Callable[[], int], *, rank: int, processes: int, workers: int
) -> DataLoader[Any]:
    """One pass at a time. following: the number of the batch that comes next. workers: processes that make batches."""
    return DataLoader(
        _Numbered(task, rank, processes),
        batch_size=None,
        sampler=_RestOfPass(per_pass, following),
        num_workers=workers,
    )
