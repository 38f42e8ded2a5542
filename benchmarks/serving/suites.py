"""Which contenders take part in a run, and their servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import perf_analyzer
from benchmarks.serving.bare import Bare, Setting, all_settings
from benchmarks.serving.contenders import (
    CONCURRENCIES,
    Contender,
    analyzer_contenders,
    bare_contender,
    client_contenders,
    fastapi_contenders,
    http_contenders,
)
from benchmarks.serving.payloads import write_analyzer_inputs
from benchmarks.serving.priority import share_priority
from benchmarks.serving.servers import fastapi_torch, gateway
from sat2sound.serving.environment import find_environment
from sat2sound.serving.launcher import TritonServer

BARE_KEPT = 3  # of the settings that were fastest in the trial; the best median of the rounds counts


@dataclass(frozen=True)
class Running:
    """The contenders of a run, all of whose servers are up. served: Triton by precision."""

    contenders: list[Contender]
    served: Mapping[str, TritonServer]


@contextmanager
def running(
    suite: str, repositories: Mapping[str, Path], peer_model: str, scratch: Path, *, quick: bool, trial_seconds: float
) -> Iterator[Running]:
    """Start everything; repositories by precision. quick: one contender of each kind."""
    program = perf_analyzer.fetch()
    inputs = write_analyzer_inputs(scratch)
    with ExitStack() as stack:
        served, contenders = {}, []
        for precision, repository in repositories.items():
            server = stack.enter_context(TritonServer(repository))
            share_priority(server.pid)
            served[precision] = server
            bare = stack.enter_context(Bare(find_environment().prefix / "bin" / "python", repository))
            settings = [Setting(2, False, 2)] if quick else fastest(bare, trial_seconds)
            contenders += [bare_contender(bare, precision, setting) for setting in settings]
        peer = stack.enter_context(fastapi_torch(peer_model))
        exact = served["float32"]
        if quick:
            contenders += analyzer_contenders(program, exact, "float32", inputs, ["embed_pixels"], [4])
            contenders += client_contenders(exact, "float32", [4])
            contenders += http_contenders(exact, "float32", ["embed_pixels"], [4])
            contenders += fastapi_contenders(peer, ["embed_pixels"], [4])
        elif suite == "starter":
            front = stack.enter_context(gateway(exact.grpc_url))
            doors = ["embed_pixels", "embed_satellite"]
            contenders += analyzer_contenders(program, exact, "float32", inputs, doors)
            contenders += analyzer_contenders(program, served["int8"], "int8", inputs, doors[:1])
            contenders += client_contenders(exact, "float32", [4, 16])
            for precision, server in served.items():
                contenders += http_contenders(server, precision, doors[:1], [4, 16])
            contenders += http_contenders(exact, "float32", doors[1:], [4])
            contenders += http_contenders(exact, "float32", doors[:1], [4, 16], front)
            contenders += http_contenders(exact, "float32", doors[1:], [4], front)
            contenders += fastapi_contenders(peer, doors[:1], CONCURRENCIES)
            contenders += fastapi_contenders(peer, doors[1:], [4])
        else:
            # In float32 sixteen in flight wait longer than perf_analyzer's passes last.
            for precision, server in served.items():
                counts = [4, 16] if precision == "int8" else [4]
                contenders += analyzer_contenders(program, server, precision, inputs, ["embed_pixels"], counts)
                contenders += http_contenders(server, precision, ["embed_pixels"], counts)
            contenders += fastapi_contenders(peer, ["embed_pixels"], [4, 16])
        yield Running(contenders, served)


def fastest(bare: Bare, seconds: float) -> Sequence[Setting]:
    """The settings with most images per second in a trial of all: every batch size of 1..8 and every thread setting."""
    speeds: dict[Setting, float] = {}
    for setting in all_settings():
        answer = bare.run(setting, seconds)
        speeds[setting] = answer["images"] / answer["seconds"]
    return sorted(speeds, key=lambda setting: -speeds[setting])[:BARE_KEPT]
