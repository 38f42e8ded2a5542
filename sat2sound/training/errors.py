"""Why a training stops: errors without torch, so that the command line knows their exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sat2sound.errors import Sat2SoundError


class TrainingError(Sat2SoundError):
    """A training stopped; its last checkpoint is from before."""


class LossNotFinite(TrainingError):
    """The loss became NaN or infinite. step: optimizer steps done; samples: what the batch was made of."""

    def __init__(self, step: int, losses: dict[str, float], samples: Sequence[str]) -> None:
        self.step, self.samples = step, tuple(samples)
        shown = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        super().__init__(
            f"the loss is not finite at step {step}: {shown}; samples of the batch: {', '.join(samples)}; to fix it, "
            "look at these samples, or lower the learning rate; no weights were changed by this batch"
        )


class Terminated(TrainingError):
    """The process was asked to end (SIGTERM, as by Kubernetes or Slurm)."""

    def __init__(self, step: int) -> None:
        super().__init__(f"asked to end (SIGTERM) at step {step}; go on with --resume")


class OutOfRoom(TrainingError):
    """Memory or disk do not suffice."""


class DoesNotFit(OutOfRoom):
    """A batch of the recipe's size does not fit into memory."""

    def __init__(self, device: object, reason: Exception) -> None:
        super().__init__(
            f"a batch does not fit into the memory of {device} ({str(reason).splitlines()[0][:160]}); to fix it, lower "
            "`batch` and raise `accumulate`, choose a 16-bit --precision, or use more devices"
        )


class CheckpointNotWritten(OutOfRoom):
    """A checkpoint could not be written; the previous one is as it was."""

    def __init__(self, path: Path, reason: Exception) -> None:
        super().__init__(
            f"the checkpoint {path} could not be written ({str(reason)[:200]}); the previous one is as it was; to fix "
            "it, make room on the disk and run the same command again with --resume: it goes on from there"
        )
