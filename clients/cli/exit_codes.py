"""What the exit code of a command says, and how errors reach a person: one readable line, no traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec

import typer

Parameters = ParamSpec("Parameters")


class ExitCode(IntEnum):
    """The table, also shown by `sat2sound --help`."""

    DONE = 0
    FAULT = 1
    INVALID = 2
    UNAVAILABLE = 3
    REFUSED = 4
    DEADLINE = 5
    NO_SERVER = 6
    NO_TILE = 7
    DIFFERS = 8
    INCOMPLETE = 9
    NOT_FINITE = 10
    NO_ROOM = 11
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAULT: "a fault of this program (with a traceback: please report it)",
    ExitCode.INVALID: "wrong usage or input that cannot be used",
    ExitCode.UNAVAILABLE: "the server cannot be reached, or is overloaded: may succeed later",
    ExitCode.REFUSED: "the server refused the request or failed at it",
    ExitCode.DEADLINE: "no answer within the deadline",
    ExitCode.NO_SERVER: "a server or its model repository could not be made ready here",
    ExitCode.NO_TILE: "the image service gave no tile",
    ExitCode.DIFFERS: "a graph or a model repository does not compute what it should",
    ExitCode.INCOMPLETE: "done in part: inputs that could not be used, or cells of a map, are missing",
    ExitCode.NOT_FINITE: "training stopped: the loss is NaN or infinite",
    ExitCode.NO_ROOM: "training stopped: a batch does not fit into memory, or a checkpoint onto the disk",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, or SIGTERM while training)",
}


def exit_code(error: Exception) -> ExitCode:
    """The code for an error that a person can do something about; FAULT for any other."""
    from sat2sound.captioning.errors import CaptioningError, EndpointRefused, EndpointUnavailable
    from sat2sound.clients import errors
    from sat2sound.clients.maps.errors import MapError
    from sat2sound.clients.tiles import TileError
    from sat2sound.errors import (
        CheckpointError,
        ConfigurationError,
        DatasetError,
        GateFailure,
        InvalidInput,
        Sat2SoundError,
    )
    from sat2sound.training.errors import LossNotFinite, OutOfRoom, Terminated

    table: tuple[tuple[type[Exception], ExitCode], ...] = (
        (InvalidInput, ExitCode.INVALID),
        (ConfigurationError, ExitCode.INVALID),
        (CheckpointError, ExitCode.INVALID),
        (DatasetError, ExitCode.INVALID),
        (errors.InvalidRequest, ExitCode.INVALID),
        (EndpointUnavailable, ExitCode.UNAVAILABLE),
        (EndpointRefused, ExitCode.REFUSED),
        (CaptioningError, ExitCode.INVALID),
        (errors.ServerUnavailable, ExitCode.UNAVAILABLE),
        (errors.DeadlineExceeded, ExitCode.DEADLINE),
        (errors.ClientError, ExitCode.REFUSED),
        (TileError, ExitCode.NO_TILE),
        (GateFailure, ExitCode.DIFFERS),
        (MapError, ExitCode.INVALID),
        (LossNotFinite, ExitCode.NOT_FINITE),
        (OutOfRoom, ExitCode.NO_ROOM),
        (Terminated, ExitCode.INTERRUPTED),
        (Sat2SoundError, ExitCode.NO_SERVER),
        (OSError, ExitCode.INVALID),  # a path that cannot be read or written
    )
    return next((code for kind, code in table if isinstance(error, kind)), ExitCode.FAULT)


def readable_errors(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Make a command end with its exit code and one line on stderr instead of a traceback."""

    @functools.wraps(command)
    def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            typer.secho("interrupted", err=True)
            sys.exit(ExitCode.INTERRUPTED)
        except BrokenPipeError:
            raise  # the reader of our output has gone: not an error to talk about, click knows what to do
        except Exception as error:
            code = exit_code(error)
            if code is ExitCode.FAULT:
                raise
            typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
            sys.exit(code)

    return run
