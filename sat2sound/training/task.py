"""What a training is made of, apart from the loop: which batch a step sees, what is minimised, how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from sat2sound.data.skipped import SkippedParts
from sat2sound.models import Sat2Sound

# Brings the rows of all processes together, with gradients: float [B, ...] -> [processes x B, ...].
Gather = Callable[[Tensor], Tensor]
SCORE = "score"  # the figure of `validate` that the best checkpoint has most of


class TrainingBatch(Protocol):
    """One process's part of what one step sees."""

    @property
    def names(self) -> Sequence[str]:
        """Which samples, for messages."""

    @property
    def skipped(self) -> SkippedParts:
        """What of the data was given and could not be used."""

    def to(self, device: Any) -> Any:
        """The same on another device."""


class Task(Protocol):
    """module: everything with parameters that learn, `model` within it.

    steps_per_epoch: batches of one pass. unused_parameters: whether some get no gradient in some steps. stored_half:
    whether the best weights are stored as float16.
    """

    module: nn.Module
    model: Sat2Sound
    steps_per_epoch: int
    unused_parameters: bool
    stored_half: bool

    @property
    def judged(self) -> Sat2Sound:
        """What is validated and shipped: the model itself, or its moving average, in eval mode."""

    def batch(self, index: int, rank: int, processes: int) -> Any:
        """Part `rank` of batch `index`, counted from 0 over the whole training: depends on nothing else, so that a
        training which goes on sees what it would have seen."""

    def largest_batch(self, rank: int, processes: int) -> Any:
        """A batch with the largest shapes that any step may see."""

    def losses(self, batch: Any, index: int, gather: Gather) -> dict[str, Tensor]:
        """Scalars by name; "total" is what is minimised."""

    def before(self, say: Callable[[str], None]) -> None:
        """What comes before the first step of a new training."""

    def after_step(self, step: int) -> None:
        """What comes after optimizer step `step`, counted from 0."""

    def validate(self) -> dict[str, float]:
        """Figures by name, SCORE among them, of `judged` on the validation split; empty if there is none."""
