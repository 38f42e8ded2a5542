"""One pass of a training over a dataset: which sample has which place in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sat2sound.data.samples import Sample, SampleTable

STRIDE = 7919  # a prime: substitutes for a sample come from elsewhere, and are not the same few


@dataclass(frozen=True)
class PassShape:
    """batches: of one pass; batch: samples of one, over all processes; processes: that share each batch evenly."""

    batches: int
    batch: int
    processes: int = 1

    @property
    def places(self) -> int:
        """Samples of one pass."""
        return self.batches * self.batch


class Pass(Protocol):
    """One pass; every sample has one place at most."""

    def sample(self, place: int, attempt: int = 0) -> Sample:
        """The sample at a place, counted from 0 over the pass; attempt: 1 and on are substitutes for it."""


class PassSource(Protocol):
    """What training draws from."""

    def __len__(self) -> int: ...

    def one_pass(self, seed: int, epoch: int, shape: PassShape) -> Pass:
        """The pass of this number: depends on the arguments alone."""


@dataclass(frozen=True)
class TablePass:
    """All samples in an order that is random throughout."""

    samples: SampleTable
    order: npt.NDArray[np.int64]

    def sample(self, place: int, attempt: int = 0) -> Sample:
        """See `Pass`."""
        return self.samples[int(self.order[(place + attempt * STRIDE) % len(self.order)])]


@dataclass(frozen=True)
class TableSource:
    """A table that can be read in any order at no cost."""

    samples: SampleTable

    def __len__(self) -> int:
        return len(self.samples)

    def one_pass(self, seed: int, epoch: int, shape: PassShape) -> TablePass:
        """See `PassSource`; the shape makes no difference."""
        return TablePass(self.samples, np.random.default_rng([seed, 1, epoch]).permutation(len(self.samples)))
