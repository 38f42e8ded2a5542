"""The asyncio client under a load that does not wait for answers: so many requests per second, whatever comes back."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.soak.questions import Expected, Question
from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.clients.errors import ServerOverloaded

HUNG_GRACE_SECONDS = 5.0  # past its deadline: a call that has not ended by then hangs


@dataclass
class Record:
    """What became of the requests of a soak. Times are in seconds since it began.

    asked, answered, refused, latencies: one entry each time; answered holds when the right answer arrived, latencies
    how long it took. wrong: by method. others: errors that are no refusal, by exception; messages: the first of each.
    """

    asked: array[float] = field(default_factory=lambda: array("d"))
    answered: array[float] = field(default_factory=lambda: array("d"))
    latencies: array[float] = field(default_factory=lambda: array("d"))
    refused: array[float] = field(default_factory=lambda: array("d"))
    answered_by_method: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    hung: int = 0


async def capacity(client: AsyncSat2SoundClient, asked: Sequence[Question], seconds: float, callers: int) -> float:
    """Requests per second of so many callers that each wait for their answer, in the order of a soak."""
    answered = 0
    numbers = iter(range(10**9))
    ends = time.perf_counter() + seconds
    started = time.perf_counter()

    async def work() -> None:
        nonlocal answered
        while time.perf_counter() < ends:
            await asked[next(numbers) % len(asked)].ask(client)
            answered += 1

    await asyncio.gather(*(work() for _ in range(callers)))
    return answered / (time.perf_counter() - started)


async def open_loop(
    client: AsyncSat2SoundClient,
    asked: Sequence[Question],
    expected: Sequence[Expected],
    *,
    rate: float,
    seconds: float,
    record: Record,
) -> None:
    """Send `rate` requests per second for so many seconds, then wait until each has ended. Fills `record`."""
    began = time.perf_counter()
    running: set[asyncio.Task[None]] = set()
    patience = client.deadline + HUNG_GRACE_SECONDS

    async def call(number: int) -> None:
        question = asked[number % len(asked)]
        started = time.perf_counter()
        record.asked.append(started - began)
        try:
            answer = await asyncio.wait_for(question.ask(client), patience)
        except TimeoutError as error:
            if type(error) is TimeoutError:  # of wait_for: the client did not keep its own deadline
                record.hung += 1
            else:
                _note(record, error)
        except ServerOverloaded:
            record.refused.append(time.perf_counter() - began)
        except Exception as error:
            _note(record, error)
        else:
            ended = time.perf_counter()
            if Expected.of(answer).same(expected[number % len(asked)]):
                record.answered.append(ended - began)
                record.latencies.append(ended - started)
                record.answered_by_method[question.name] += 1
            else:
                record.wrong[question.name] += 1

    number = 0
    while number < seconds * rate:
        now = min(time.perf_counter() - began, seconds)
        while number < now * rate:  # what a late wake-up has missed is sent at once
            task = asyncio.create_task(call(number))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
        await asyncio.sleep(max(0.0, number / rate - (time.perf_counter() - began)))
    if running:
        await asyncio.wait(running, timeout=patience + HUNG_GRACE_SECONDS)
    record.hung += len(running)
    for task in running:
        task.cancel()


def _note(record: Record, error: BaseException) -> None:
    kind = type(error).__name__
    record.others[kind] += 1
    record.messages.setdefault(kind, str(error)[:300])
