"""`make soak`: a short one on the real server and gateway is clean, and nothing that goes wrong escapes it."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from gateway_process import Gateway

from benchmarks.serving import process_tree
from benchmarks.soak import load
from benchmarks.soak.__main__ import soak
from benchmarks.soak.load import Record, open_loop
from benchmarks.soak.questions import Expected, Question, expectations, questions
from benchmarks.soak.verdict import as_table, violations
from benchmarks.soak.watch import Watched
from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.clients.errors import DeadlineExceeded, ServerFault, ServerOverloaded
from sat2sound.contract import MODELS
from sat2sound.serving.launcher import TritonServer

SECONDS = 4.0


@pytest.fixture
def gateway(tiny_server: TritonServer) -> Iterator[Gateway]:
    options = ("--allow-anonymous", "--drain-notice-seconds=0", "--max-concurrency=8", "--max-waiting=8")
    with Gateway((f"--predictor-host={tiny_server.grpc_url}", *options)) as running:
        yield running


def test_a_short_soak_is_clean(gateway: Gateway, tiny_server: TritonServer) -> None:
    programs = {
        "triton": process_tree.members(tiny_server.pid),
        "gateway": process_tree.members(gateway.process.pid),
        "client": [os.getpid()],
    }
    # Twice the capacity: on a busy machine the two measurements of it differ more than in minutes.
    options = argparse.Namespace(seconds=SECONDS, factor=2.0, capacity_seconds=1.0, callers=8, every=0.3, gsd=20.0)
    ready_url = f"http://127.0.0.1:{gateway.http_port}/v2/health/ready"
    # Answers are right at any speed. How much is sent and answered, and what memory does, says in seconds also what
    # else the machine did: one of three runs must meet these bounds.
    for _ in range(3):
        document = asyncio.run(soak(options, f"127.0.0.1:{gateway.grpc_port}", ready_url, programs))
        assert [problem for problem in document["violations"] if not problem.startswith(("only ", "memory of "))] == []
        assert document["answered"] + document["refused"] == document["asked"]
        assert document["refused"] > 0
        if document["violations"] == []:
            break
    assert document["violations"] == []
    assert document["asked"] > 1.9 * document["load"]["capacity"] * SECONDS
    assert document["answered"] > 0.4 * document["load"]["capacity"] * SECONDS
    assert sum(document["answered_by_method"].values()) == document["answered"]
    assert all(len(values) > 2 for values in document["memory"]["megabytes"].values())
    assert set(document["memory"]["megabytes"]) == set(programs)
    table = as_table(document)
    assert f"{document['refused']:,} refused (ServerOverloaded)" in table
    assert table.endswith("Nothing is violated.\n")


def test_every_ensemble_is_asked() -> None:
    assert {question.name for question in questions(0.3)} == {model.name for model in MODELS.values() if model.public}


def answers(*outcomes: Any) -> list[Question]:
    """Questions whose answers are these; exceptions are raised, and "hang" waits for ever."""

    def question(place: int, outcome: Any) -> Question:
        async def ask(client: AsyncSat2SoundClient) -> Any:
            if outcome == "hang":
                await asyncio.Event().wait()
            if isinstance(outcome, BaseException):
                raise outcome
            return np.full((1, 3), outcome, np.float32)

        return Question(f"method {place}", ask)

    return [question(place, outcome) for place, outcome in enumerate(outcomes)]


def run(asked: list[Question], *, seconds: float = 0.2) -> Record:
    class Client:
        deadline = 0.2

    record = Record()
    expected = [Expected(np.full((1, 3), place, np.float32)) for place in range(len(asked))]
    client = cast(AsyncSat2SoundClient, Client())
    asyncio.run(open_loop(client, asked, expected, rate=100.0, seconds=seconds, record=record))
    assert len(record.asked) == 100 * seconds
    return record


def found(record: Record, **changed: Any) -> list[str]:
    watched = changed.pop("watched", Watched([0.0, 1.0], {"triton": [500.0, 500.0]}))
    record.asked[-1] = 0.19  # however late this machine was
    load = {"offered": 100.0, "capacity": 50.0, "seconds": 0.2, **changed}
    return violations(record, watched, **load)


def test_every_kind_of_failure_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "HUNG_GRACE_SECONDS", 0.1)
    record = run(
        answers(0, 7, ServerOverloaded("full"), float("nan"), ServerFault("broken"), DeadlineExceeded("late"), "hang")
    )
    assert record.wrong == Counter({"method 1": 3, "method 3": 3})
    assert record.others == Counter({"ServerFault": 3, "DeadlineExceeded": 3})
    assert record.hung == 2
    assert len(record.refused) == 3
    assert len(record.answered) == 3
    problems = found(record)
    for words in ("6 wrong answers", "hung past", "ServerFault instead of a refusal: broken", "DeadlineExceeded"):
        assert any(words in problem for problem in problems), problems


def test_a_clean_record_is_clean_and_each_shortcoming_is_told() -> None:
    record = run(answers(0, ServerOverloaded("full")))
    assert found(record) == []
    assert "nothing was refused" in found(run(answers(0, 1)))[0]
    assert found(run(answers(0, 1)), offered=50.0) == []
    assert "were sent" in found(record, offered=200.0)[0]
    assert "were answered" in found(run(answers(*[ServerOverloaded("full")] * 9, 9)))[0]
    moments = [float(second) for second in range(100)]
    flat = [100.0 + 200 * (second < 20) for second in range(100)]  # what falls in the warm-up does not count
    assert found(record, watched=Watched(moments, {"triton": flat})) == []
    burst = [100.0 + 200 * (80 < second < 95) for second in range(100)]  # neither does what comes and goes
    assert found(record, watched=Watched(moments, {"triton": burst})) == []
    leak = [500.0 + second for second in range(100)]
    (problem,) = found(record, watched=Watched(moments, {"triton": leak}))
    assert problem == "memory of triton (about 562 MB) grew by 74 MB after warm-up"
    assert "ready 2 times" in found(record, watched=Watched(moments, {"triton": flat}, unready=2))[0]


def test_memory_is_what_a_program_holds_itself() -> None:
    before = process_tree.held_megabytes([os.getpid()])
    block = bytearray(b"x") * 50_000_000
    grown = process_tree.held_megabytes([os.getpid()]) - before
    assert len(block) / 1e6 - 5 < grown < len(block) / 1e6 + 20
    assert process_tree.held_megabytes([os.getpid()]) <= process_tree.memory_megabytes([os.getpid()])[0]


def test_two_questions_with_one_answer_prove_nothing() -> None:
    with pytest.raises(ValueError, match="method 0, method 2"):
        asyncio.run(expectations(cast(AsyncSat2SoundClient, None), answers(1, 2, 1)))
