"""Many items over one connection: split into requests the server takes, refused items set aside, the rest served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sat2sound.clients.connection import Arrays, Connection, Deadline
from sat2sound.clients.errors import InvalidRequest

# One request stays well below message limits and server memory, however many large images a list holds.
REQUEST_BYTES = 64 * 1024 * 1024


def item_sizes(inputs: Mapping[str, npt.NDArray[Any]]) -> list[int]:
    """Payload bytes of each item over all inputs."""
    count = len(next(iter(inputs.values())))
    sizes = [0] * count
    for array in inputs.values():
        for index in range(count):
            if array.dtype == np.object_:
                sizes[index] += sum(len(value) for value in array[index].flat)
            else:
                sizes[index] += array[index].nbytes
    return sizes


def split(sizes: list[int], max_items: int, max_bytes: int = REQUEST_BYTES) -> Iterator[range]:
    """Consecutive index ranges of at most max_items, and at most max_bytes unless one item alone has more."""
    start, total = 0, 0
    for index, size in enumerate(sizes):
        if index > start and (index - start == max_items or total + size > max_bytes):
            yield range(start, index)
            start, total = index, 0
        total += size
    if sizes:
        yield range(start, len(sizes))


class Outcome:
    """What became of each item. items: outputs without the batch dimension, None where refused; refused: why."""

    def __init__(self, count: int) -> None:
        self.items: list[Arrays | None] = [None] * count
        self.refused: dict[int, str] = {}


def serve(connection: Connection, model: str, inputs: Mapping[str, npt.NDArray[Any]], deadline: Deadline) -> Outcome:
    """Send all items, in as many requests as needed, one after another, until the deadline.

    inputs: name -> array whose first dimension is the items. The request is the server's unit of failure: when it
    refuses some items by index, the others of that request are sent again. Raises InvalidRequest when a single item was
    asked for, or when the refusal is not about certain items; other ClientErrors as they come.
    """
    sizes = item_sizes(inputs)
    outcome = Outcome(len(sizes))
    for indexes in split(sizes, connection.max_batch_size(model, deadline)):
        _serve_request(connection, model, inputs, list(indexes), deadline, outcome)
    return outcome


def _serve_request(
    connection: Connection,
    model: str,
    inputs: Mapping[str, npt.NDArray[Any]],
    indexes: list[int],
    deadline: Deadline,
    outcome: Outcome,
) -> None:
    try:
        outputs = connection.infer(model, {name: array[indexes] for name, array in inputs.items()}, deadline)
    except InvalidRequest as error:
        refused = {indexes[place]: reason for place, reason in error.items.items() if place < len(indexes)}
        if len(outcome.items) == 1:
            raise InvalidRequest(refused.get(0, error.problem), status=error.status, items={0: error.problem}) from None
        if len(indexes) == 1:
            refused = refused or {indexes[0]: error.problem}
        if not refused:
            raise
        outcome.refused.update(refused)
        remaining = [index for index in indexes if index not in refused]
        if remaining:
            _serve_request(connection, model, inputs, remaining, deadline, outcome)
        return
    for place, index in enumerate(indexes):
        outcome.items[index] = {name: array[place] for name, array in outputs.items()}
