"""Many items over one connection: split into requests the server takes, refused items set aside, the rest served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from sat2sound.clients.async_connection import AsyncConnection
from sat2sound.clients.connection import Connection
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import InvalidRequest
from sat2sound.clients.messages import Arrays

# One request stays well below message limits and server memory, however many large images a list holds.
REQUEST_BYTES = 64 * 1024 * 1024
DEFAULT_CONCURRENCY = 4


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

    def served(self, indexes: list[int], outputs: Arrays) -> None:
        """A request with these items was answered."""
        for place, index in enumerate(indexes):
            self.items[index] = {name: array[place] for name, array in outputs.items()}

    def remaining(self, indexes: list[int], error: InvalidRequest) -> list[int]:
        """Which items of a refused request are to be sent again: those that the server did not name.

        Raises InvalidRequest when a single item was asked for, or when the refusal is not about certain items.
        """
        refused = {indexes[place]: reason for place, reason in error.items.items() if place < len(indexes)}
        if len(self.items) == 1:
            raise InvalidRequest(refused.get(0, error.problem), status=error.status, items={0: error.problem}) from None
        if len(indexes) == 1:
            refused = refused or {indexes[0]: error.problem}
        if not refused:
            raise error
        self.refused.update(refused)
        return [index for index in indexes if index not in refused]


def serve(
    connection: Connection,
    model: str,
    inputs: Mapping[str, npt.NDArray[Any]],
    deadline: Deadline,
    concurrency: int = DEFAULT_CONCURRENCY,
) -> Outcome:
    """Send all items, in as many requests as needed, at most `concurrency` at a time, until the deadline.

    inputs: name -> array whose first dimension is the items. The request is the server's unit of failure: when it
    refuses some items by index, the others of that request are sent again. Raises InvalidRequest when a single item was
    asked for, or when the refusal is not about certain items; other ClientErrors as they come. After an error nothing
    more is sent; it is raised when the requests on their way have ended.
    """
    sizes = item_sizes(inputs)
    outcome = Outcome(len(sizes))

    def send(indexes: list[int]) -> None:
        while indexes:
            try:
                outcome.served(indexes, connection.infer(model, _part(inputs, indexes), deadline))
                return
            except InvalidRequest as error:
                indexes = outcome.remaining(indexes, error)

    parts = [list(part) for part in split(sizes, connection.max_batch_size(model, deadline))]
    if len(parts) == 1 or concurrency == 1:
        for part in parts:
            send(part)
    else:
        _in_threads(send, parts, concurrency)
    return outcome


def _in_threads(send: Callable[[list[int]], None], parts: list[list[int]], concurrency: int) -> None:
    with ThreadPoolExecutor(min(concurrency, len(parts)), thread_name_prefix="sat2sound-client") as pool:
        pending = [pool.submit(send, part) for part in parts]
        done, _ = wait(pending, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            pool.shutdown(wait=True, cancel_futures=True)
        for future in pending:  # the first error in the order of the items
            if not future.cancelled():
                future.result()


async def serve_async(
    connection: AsyncConnection,
    model: str,
    inputs: Mapping[str, npt.NDArray[Any]],
    deadline: Deadline,
    slots: asyncio.Semaphore,
) -> Outcome:
    """As `serve`, with as many requests at a time as there are slots. An error cancels those that are on their way."""
    sizes = item_sizes(inputs)
    outcome = Outcome(len(sizes))

    async def send(indexes: list[int]) -> None:
        while indexes:
            try:
                async with slots:
                    answer = await connection.infer(model, _part(inputs, indexes), deadline)
                outcome.served(indexes, answer)
                return
            except InvalidRequest as error:
                indexes = outcome.remaining(indexes, error)

    parts = split(sizes, await connection.max_batch_size(model, deadline))
    tasks = [asyncio.ensure_future(send(list(part))) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return outcome


def _part(inputs: Mapping[str, npt.NDArray[Any]], indexes: list[int]) -> Arrays:
    return {name: array[indexes] for name, array in inputs.items()}
