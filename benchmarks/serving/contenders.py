"""Who is measured: each contender has a name and can be asked for one turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import perf_analyzer, process_tree, statistics
from benchmarks.serving.bare import Bare, Setting
from benchmarks.serving.callers import async_client_loop, client_caller, http_caller
from benchmarks.serving.closed_loop import closed_loop
from benchmarks.serving.payloads import open_inference_bodies, pictures, pixels
from benchmarks.serving.sample import Sample
from benchmarks.serving.servers import Running
from sat2sound.serving.launcher import TritonServer

CONCURRENCIES = (1, 4, 16)
# seconds, seconds of warm-up -> sample, images answered in all (None: Triton's statistics know)
Load = Callable[[float, float], tuple[Sample, int | None]]


@dataclass(frozen=True)
class Contender:
    """system: what is asked. precision: of the encoder. model: which door. load: who asks. pids: of its servers."""

    system: str
    precision: str
    model: str
    load: str
    concurrency: int
    run: Load
    pids: tuple[int, ...]
    triton: TritonServer | None = None

    @property
    def name(self) -> str:
        """Unique in a run."""
        return " | ".join((self.system, self.precision, self.model, self.load, str(self.concurrency)))

    def turn(self, seconds: float, warm_up: float) -> Sample:
        """One turn, with what its servers used."""
        processes = [process for pid in self.pids for process in process_tree.members(pid)]
        before = statistics.read(self.triton.http_url) if self.triton else {}
        used = process_tree.cpu_seconds(processes)
        sample, images = self.run(seconds, warm_up)
        used = process_tree.cpu_seconds(processes) - used
        models = statistics.between(before, statistics.read(self.triton.http_url)) if self.triton else {}
        if images is None:
            images = int(models[statistics.ENCODER]["images"])
        memory, resident = process_tree.memory_megabytes(processes)
        return dataclasses.replace(
            sample, server_cpu_ms=1000 * used / images, memory_mb=memory, resident_mb=resident, models=models
        )


def bare_contender(bare: Bare, precision: str, setting: Setting) -> Contender:
    """A bare session; no queue, so that its latency is the time of one run."""

    def run(seconds: float, _: float) -> tuple[Sample, int]:
        answer = bare.run(setting, seconds)
        return Sample.from_latencies(answer["images"] / answer["seconds"], answer["milliseconds"]), answer["images"]

    return Contender("bare onnxruntime", precision, "embed_pixels", str(setting), 1, run, (bare.pid,))


def analyzer_contenders(
    program: Path, server: TritonServer, precision: str, inputs: dict[str, Path], models: Sequence[str],
    concurrencies: Sequence[int] = CONCURRENCIES,
) -> list[Contender]:  # fmt: skip
    """Triton, asked by perf_analyzer over gRPC."""

    def load(model: str, concurrency: int) -> Load:
        # Its first pass, which is left out of the images per second, is the warm-up.
        return lambda seconds, _: (
            perf_analyzer.drive(program, server.grpc_url, model, inputs[model], concurrency, seconds),
            None,
        )

    return [
        Contender("triton", precision, model, "perf_analyzer", count, load(model, count), (server.pid,), server)
        for model in models
        for count in concurrencies
    ]


def client_contenders(server: TritonServer, precision: str, concurrencies: Sequence[int]) -> list[Contender]:
    """Triton, asked by our clients over gRPC."""

    def sync(count: int) -> Load:
        return lambda seconds, warm_up: closed_loop(
            client_caller(server.grpc_url, "embed_pixels"), count, seconds, warm_up
        )

    def asynchronous(count: int) -> Load:
        return lambda seconds, warm_up: async_client_loop(server.grpc_url, count, seconds, warm_up)

    return [
        Contender("triton", precision, "embed_pixels", name, count, load(count), (server.pid,), server)
        for name, load in (("Sat2SoundClient", sync), ("AsyncSat2SoundClient", asynchronous))
        for count in concurrencies
    ]


def _http(port: int, path: str, bodies: list[bytes], headers: dict[str, str], concurrency: int) -> Load:
    return lambda seconds, warm_up: closed_loop(http_caller(port, path, bodies, headers), concurrency, seconds, warm_up)


def http_contenders(
    server: TritonServer,
    precision: str,
    models: Sequence[str],
    concurrencies: Sequence[int],
    front: Running | None = None,
) -> list[Contender]:
    """Triton over the Open Inference Protocol's REST, alone or behind the gateway (front)."""
    system, port = ("gateway", front.port) if front else ("triton", server.http_port)
    pids = (server.pid, front.pid) if front else (server.pid,)
    return [
        Contender(system, precision, model, "HTTP loop", count,
                  _http(port, f"/v2/models/{model}/infer", *open_inference_bodies(model), count), pids, server)
        for model in models
        for count in concurrencies
    ]  # fmt: skip


def fastapi_contenders(peer: Running, models: Sequence[str], concurrencies: Sequence[int]) -> list[Contender]:
    """FastAPI around torch, asked by the same loop."""
    doors = {
        "embed_pixels": ("/embed_pixels", [image.tobytes() for image in pixels()]),
        "embed_satellite": ("/embed_image", pictures()),
    }
    headers = {"Content-Type": "application/octet-stream"}
    return [
        Contender("FastAPI + torch", "float32", model, "HTTP loop", count,
                  _http(peer.port, *doors[model], headers, count), (peer.pid,))
        for model in models
        for count in concurrencies
    ]  # fmt: skip
