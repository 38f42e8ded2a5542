"""Stage times come from the running server's own statistics."""

from __future__ import annotations

import time
from typing import Any

import made_inputs
import pytest

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.stages import STAGES, StageTimes, measure
from sat2sound.contract import MODELS


def test_the_stages_are_the_steps_of_the_ensemble() -> None:
    assert list(STAGES.values()) == [step.model for step in MODELS["retrieve_sounds"].steps]


def test_the_stages_explain_the_round_trip(server: Any) -> None:
    image = made_inputs.encoded(made_inputs.picture())
    calls = []

    def ask() -> None:
        calls.append(client.retrieve_sounds(image))
        time.sleep(0.2)  # outside the server: may only appear in the round trip

    with Sat2SoundClient(server.grpc_url) as client:
        client.retrieve_sounds(image)
        times = measure(client.connection, ask, Deadline(60), requests=4)
    assert len(calls) == times.requests == 4
    assert all(value > 0 for value in times.stages.values())
    assert sum(times.stages.values()) < times.total - 150  # of 200 ms: the server may still book a request made before
    assert times.remainder == pytest.approx(times.total - sum(times.stages.values()))
    assert list(times.to_json()) == [*STAGES, "total"]


def test_no_negative_remainder() -> None:
    assert StageTimes({"encode": 5.0}, 4.9, 1).remainder == 0.0
