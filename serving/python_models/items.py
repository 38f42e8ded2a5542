"""Errors of one request: every offending item by its index, in a message that fits into a gRPC status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from sat2sound.errors import InvalidInput

Item = TypeVar("Item")
# gRPC sends the message in the response's trailers, which clients refuse above 8 KiB (the libraries' default); what is
# not printable ASCII takes three bytes there for one.
MESSAGE_BYTES = 6000
_ELLIPSIS = " ..."


class InvalidItems(InvalidInput):
    """Some items of one request cannot be used. problems: index -> what was wrong with it."""

    def __init__(self, problems: Mapping[int, InvalidInput]) -> None:
        room = MESSAGE_BYTES // len(problems)
        listed = (fit(f"item {index}: {problem}", room - 2) for index, problem in sorted(problems.items()))
        Exception.__init__(self, "; ".join(listed))
        self.problems = dict(problems)


def each_item(count: int, prepare: Callable[[int], Item]) -> list[Item]:
    """prepare(0) .. prepare(count - 1). Raises InvalidItems with every item that raised InvalidInput."""
    prepared: list[Item] = []
    problems: dict[int, InvalidInput] = {}
    for index in range(count):
        try:
            prepared.append(prepare(index))
        except InvalidInput as problem:
            problems[index] = problem
    if problems:
        raise InvalidItems(problems)
    return prepared


def fit(message: str, room: int = MESSAGE_BYTES) -> str:
    """The message, cut so that it takes at most `room` bytes in a gRPC status."""
    if sum(map(_bytes_in_status, message)) <= room:
        return message
    used = len(_ELLIPSIS)
    for place, character in enumerate(message):
        used += _bytes_in_status(character)
        if used > room:
            return message[:place] + _ELLIPSIS
    return message


def _bytes_in_status(character: str) -> int:
    return 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode("utf-8", "replace"))
