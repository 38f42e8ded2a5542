"""Does the service keep its word for minutes under more load than it can answer? `make soak`

    python -m benchmarks.soak [--seconds 300] [--factor 1.5] [--repository DIR]

A real Triton and a real gateway in front of it; the asyncio client asks over gRPC. First every question alone: its
answer is what is expected later. Then the capacity (a closed loop), then `factor` times as many requests per second for
`seconds`, whatever comes back. Every answer is compared. Results: build/soak/soak.json and soak.md. Exit code 1 if
anything is violated (benchmarks/soak/verdict.py says what).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving import machine, process_tree
from benchmarks.serving.priority import share_priority
from benchmarks.serving.servers import gateway
from benchmarks.soak.load import Record, capacity, open_loop
from benchmarks.soak.questions import expectations, questions
from benchmarks.soak.verdict import as_json, as_table, violations
from benchmarks.soak.watch import Watched, watch
from sat2sound.clients.async_client import AsyncSat2SoundClient
from sat2sound.export.build import ensure_repository
from sat2sound.serving.launcher import TritonServer

ROOT = Path(__file__).resolve().parents[2]
CALLERS = 32
_DEADLINE_SECONDS = 30.0
_OPEN = 4096  # requests of the client at a time: the bound is to be the service's, not the client's


async def soak(options: argparse.Namespace, url: str, ready_url: str, programs: dict[str, list[int]]) -> dict[str, Any]:
    """The whole run against a gateway at `url` (gRPC); the JSON document."""
    circumstances = machine.describe()
    asked = questions(options.gsd)
    record, watched = Record(), Watched()
    async with AsyncSat2SoundClient(url, deadline=_DEADLINE_SECONDS, concurrency=_OPEN) as client:
        expected = await expectations(client, asked)
        found = await capacity(client, asked, options.capacity_seconds, options.callers)
        rate = options.factor * found
        _say(f"capacity {found:.1f} requests/s; asking {rate:.1f} requests/s for {options.seconds:g} s")
        watching = asyncio.create_task(watch(programs, ready_url, options.every, watched))
        await open_loop(client, asked, expected, rate=rate, seconds=options.seconds, record=record)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        after = await expectations(client, asked)  # the service is as good as before
        record.wrong.update(
            question.name for question, one, two in zip(asked, expected, after, strict=True) if not one.same(two)
        )
    load = {"capacity": found, "rate": rate, "seconds": options.seconds, "callers": float(options.callers)}
    problems = violations(record, watched, offered=rate, capacity=found, seconds=options.seconds)
    return as_json(circumstances, record, watched, load, problems)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--factor", type=float, default=1.5, help="times the measured capacity")
    parser.add_argument("--capacity-seconds", type=float, default=20.0)
    parser.add_argument("--callers", type=int, default=CALLERS, help="of the closed loop that measures the capacity")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks at memory and readiness")
    parser.add_argument("--gsd", type=float, default=0.3, help="metres per pixel that embed_pixels is told")
    parser.add_argument("--repository", type=Path, help="default: the starter, built here")
    parser.add_argument("--gateway-option", action="append", default=[], help="e.g. --gateway-option=--max-waiting=8")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "soak")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    repository = options.repository or ensure_repository(ROOT / "build" / "repository", progress=_say)
    with TritonServer(repository) as server:
        share_priority(server.pid)
        with gateway(server.grpc_url, *options.gateway_option) as front:
            programs = {
                "triton": process_tree.members(server.pid),
                "gateway": process_tree.members(front.pid),
                "client": [os.getpid()],
            }
            ready_url = f"http://127.0.0.1:{front.port}/v2/health/ready"
            document = asyncio.run(soak(options, f"127.0.0.1:{front.grpc_port}", ready_url, programs))
    table = as_table(document)
    (options.out / "soak.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (options.out / "soak.md").write_text(table, encoding="utf-8")
    print(table)
    return 1 if document["violations"] else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
