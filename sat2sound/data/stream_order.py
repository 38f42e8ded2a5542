"""The order in which a training streams shards: random, but read a row group at a time, and known without reading."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sat2sound.data.passes import STRIDE, PassShape

WINDOW = 512  # samples; more mix better and take more memory

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StreamOrder:
    """rows: number of the dataset's row, by reading position; positions: reading position, by place in the pass.

    bounds, lanes: reading positions at which a window, and a lane, begins, and the end. Rows are random within a window
    only: a reader holds one window, and fetches the next one meanwhile. starts: number of each row group's first row,
    and the end.
    """

    rows: Rows
    positions: Rows
    bounds: Rows
    lanes: Rows
    starts: Rows

    def row(self, place: int, attempt: int = 0) -> int:
        """The row at a place; attempt: a substitute from the same window."""
        position = int(self.positions[place])
        first, end = self.window(position)
        return int(self.rows[first + (position - first + attempt * STRIDE) % (end - first)])

    def window(self, position: int) -> tuple[int, int]:
        """First and last reading position + 1 of the window around a position."""
        after = int(np.searchsorted(self.bounds, position, "right"))
        return int(self.bounds[after - 1]), int(self.bounds[after])

    def groups(self, place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Row groups of the window around a place, and of the window that its lane reads next."""
        first, end = self.window(int(self.positions[place]))
        follows = end < len(self.rows) and end not in self.lanes
        return self._groups(first, end), self._groups(*self.window(end)) if follows else ()

    def group_of(self, row: int) -> int:
        """The row group that holds a row."""
        return int(np.searchsorted(self.starts, row, "right")) - 1

    def _groups(self, first: int, end: int) -> tuple[int, ...]:
        return tuple(np.unique(np.searchsorted(self.starts, self.rows[first:end], "right") - 1).tolist())


def stream_order(sizes: Rows, shape: PassShape, window: int, workers: int, random: np.random.Generator) -> StreamOrder:
    """An order for one pass. sizes: rows of each row group, int64 [G]; shape.places rows of them take part.

    Row groups of all shards are put in random order and cut into lanes, one for each worker of each process: it alone
    reads these rows, whatever batches they are for. Within a lane, rows are random among each `window` that follow each
    other.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    groups = random.permutation(len(sizes))
    rows = np.concatenate([np.arange(starts[group], starts[group + 1]) for group in groups])[: shape.places]
    batch, within = np.divmod(np.arange(shape.places), shape.batch)
    lane = within // (shape.batch // shape.processes) * workers + batch % workers
    by_lane = np.argsort(lane, kind="stable")
    lanes = np.concatenate([[0], np.cumsum(np.bincount(lane, minlength=shape.processes * workers))])
    bounds = []
    for first, end in itertools.pairwise(lanes):
        for at in range(first, end, window):
            bounds.append(at)
            random.shuffle(rows[at : min(at + window, end)])
    positions = np.empty(shape.places, np.int64)
    positions[by_lane] = np.arange(shape.places)
    return StreamOrder(rows, positions, np.array([*bounds, shape.places]), lanes, starts)
