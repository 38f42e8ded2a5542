"""The same graphs in a bare onnxruntime session, in a process of its own: what serving is measured against.

Run by the server's Python, so that onnxruntime and numpy are the server's:
`.triton/bin/python -m benchmarks.serving.bare REPOSITORY`. One line of JSON in (a setting and how long), one out.
Imports nothing of this project's packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BATCHES = range(1, 9)
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Setting:
    """One way to run a session. spinning: threads that wait for work keep their core busy."""

    threads: int
    spinning: bool
    batch: int

    def __str__(self) -> str:
        return f"{self.threads} threads{' spinning' if self.spinning else ''}, batch {self.batch}"


THREADS = ((1, False), (2, False), (2, True))


def all_settings() -> list[Setting]:
    """Every batch size of 1..8 with every thread setting."""
    return [Setting(threads, spinning, batch) for threads, spinning in THREADS for batch in BATCHES]


class Bare:
    """The process; a context manager."""

    def __init__(self, python: Path, repository: Path) -> None:
        self._command = [str(python), "-m", "benchmarks.serving.bare", str(repository)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def run(self, setting: Setting, seconds: float) -> dict[str, Any]:
        """{"images": int, "seconds": float, "milliseconds": [per run of a batch]}."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**asdict(setting), "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def _serve(repository: Path) -> None:
    import numpy as np
    import onnxruntime

    random = np.random.default_rng(0)
    sessions: dict[tuple[int, bool], list[Any]] = {}

    def session(model: str, threads: int, spinning: bool) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        return onnxruntime.InferenceSession(str(repository / model / "1" / "model.onnx"), options)

    def inputs(encoder: Any, batch: int) -> dict[str, Any]:
        pixels = random.integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
        names = [entry.name for entry in encoder.get_inputs()]
        return {name: pixels if name == "PIXELS" else np.full((batch, 1), np.nan, np.float32) for name in names}

    for line in sys.stdin:
        asked = json.loads(line)
        way = (asked["threads"], asked["spinning"])
        if way not in sessions:
            sessions[way] = [session(model, *way) for model in ("satellite_encoder", "satellite_pooling")]
        encoder, pooling = sessions[way]
        given = inputs(encoder, asked["batch"])
        pooling.run(None, {"TOKENS": encoder.run(None, given)[0]})
        taken: list[float] = []
        started = time.perf_counter()
        while not taken or time.perf_counter() - started < asked["seconds"]:
            before = time.perf_counter()
            pooling.run(None, {"TOKENS": encoder.run(None, given)[0]})
            taken.append(1000 * (time.perf_counter() - before))
        total = time.perf_counter() - started
        answer = {"images": len(taken) * asked["batch"], "seconds": total, "milliseconds": taken}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
