"""Every exception that the library raises on purpose.

    Sat2SoundError
    |-- InvalidInput         what a caller sent cannot be used (also a ValueError; INVALID_ARGUMENT on the wire)
    |-- GateFailure          graphs or a repository do not compute what they should
    |-- ConfigurationError   a model configuration or a repository contradicts itself
    |   `-- TextEncoderError     the frozen text encoder that a configuration names cannot be had, or is another one
    |-- DatasetError         a dataset cannot be used as it is: unknown layout, empty split, too many damaged files
    `-- CheckpointError      a checkpoint cannot be used; names the file, the problem and the fix
        |-- UnsafeCheckpoint     the pickle asks for code that is not on the allow-list
        |-- CorruptCheckpoint    truncated, or not a checkpoint at all
        `-- IncompatibleCheckpoint   names, shapes or hyper-parameters of another model

Messages say three things: what was wrong, what is allowed, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence


class Sat2SoundError(Exception):
    """Base of all errors raised on purpose by this project."""


class InvalidInput(Sat2SoundError, ValueError):
    """A caller's input cannot be used.

    problem: what was wrong, e.g. "latitude is 91.0".
    expected: the allowed range or form, e.g. "-90 to 90 degrees".
    fix: what to do, e.g. "check that latitude and longitude are not swapped".
    """

    def __init__(self, problem: str, *, expected: str, fix: str) -> None:
        self.problem, self.expected, self.fix = problem, expected, fix
        super().__init__(f"{problem}; expected {expected}; to fix it, {fix}")


class GateFailure(Sat2SoundError):
    """Graphs or a model repository do not pass their gates. problems: every one, a line each."""

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{what} ({len(self.problems)} problems):\n  " + "\n  ".join(self.problems))


class ConfigurationError(Sat2SoundError):
    """A model configuration or a model repository contradicts itself."""


class TextEncoderError(ConfigurationError):
    """The frozen text encoder that a configuration names cannot be had, cannot be read, or is another one."""

    def __init__(self, encoder: object, problem: str, *, fix: str) -> None:
        self.encoder, self.problem, self.fix = str(encoder), problem, fix
        super().__init__(f"text encoder {encoder}: {problem}; to fix it, {fix}")


class DatasetError(Sat2SoundError):
    """A dataset cannot be used as it is. problem: what is wrong; fix: what to do."""

    def __init__(self, problem: str, *, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; to fix it, {fix}")


class CheckpointError(Sat2SoundError):
    """A checkpoint cannot be used. path: the file; problem: what is wrong; fix: what to do."""

    def __init__(self, path: object, problem: str, *, fix: str) -> None:
        self.path, self.problem, self.fix = str(path), problem, fix
        super().__init__(f"{path}: {problem}; to fix it, {fix}")


class UnsafeCheckpoint(CheckpointError):
    """The pickle asks for objects outside the allow-list; nothing of it was executed."""


class CorruptCheckpoint(CheckpointError):
    """The file is truncated or is not a checkpoint."""


class IncompatibleCheckpoint(CheckpointError):
    """The file holds another model: missing, unexpected or misshapen parameters, or unknown hyper-parameters."""
