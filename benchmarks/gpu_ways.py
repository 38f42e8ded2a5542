"""Seconds that graphs take on a device: in torch, in onnxruntime, and behind a Triton server. Used by gpu.py."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from sat2sound import contract
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.configs import ModelConfig
from sat2sound.export.gates.tolerances import Precision
from sat2sound.export.graphs import AudioEncoder, AudioPooling, SatelliteEncoder, SatellitePooling
from sat2sound.export.samples import conditions, pictures
from sat2sound.models import Sat2Sound
from sat2sound.serving.launcher import TritonServer

BRANCHES = {"satellite": ("satellite_encoder", "satellite_pooling"), "audio": ("audio_encoder", "audio_pooling")}
TURNS = 10
_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_MODULES = {
    "satellite_encoder": SatelliteEncoder,
    "satellite_pooling": SatellitePooling,
    "audio_encoder": AudioEncoder,
    "audio_pooling": AudioPooling,
}
Precisions = Mapping[str, Precision]
Inputs = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Measured:
    """seconds: of one batch, by graph. whole: of one batch from end to end; default: their sum."""

    way: str
    branch: str
    batch: int
    seconds: Mapping[str, float]
    whole: float | None = None

    @property
    def per_second(self) -> float:
        """Items."""
        return self.batch / (self.whole or sum(self.seconds.values()))


def made_inputs(config: ModelConfig, batch: int) -> Inputs:
    """One batch for each graph of both branches."""
    random = np.random.default_rng(1)
    mel = random.normal(-30, 15, (batch, 1, contract.MEL_FRAMES, contract.MEL_BINS)).astype(np.float32)
    tokens = {
        "satellite_pooling": (batch, config.image_tokens, config.embedding),
        "audio_pooling": (batch, config.audio.output_tokens, config.audio.output_width),
    }
    return {
        "satellite_encoder": {"PIXELS": pictures(batch, random), **conditions(batch, random)},
        "audio_encoder": {"LOG_MEL": mel},
        **{name: {"TOKENS": random.standard_normal(size).astype(np.float32)} for name, size in tokens.items()},
    }


def shortest(run: Callable[[], object], turns: int = TURNS) -> float:
    """Seconds of the shortest of some calls after two to warm up."""
    taken = []
    for turn in range(turns + 2):
        started = time.perf_counter()
        run()
        if turn > 1:
            taken.append(time.perf_counter() - started)
    return min(taken)


def _finished(run: Callable[[], object], device: str) -> Callable[[], object]:
    def wait() -> None:
        run()
        if device == "cuda":
            torch.cuda.synchronize()

    return wait


def _tf32(on: bool) -> None:
    torch.set_float32_matmul_precision("high" if on else "highest")
    torch.backends.cudnn.allow_tf32 = on


def matrix_rate(device: str, precision: Precision) -> float:
    """Operations per second of one large product in torch: what the card reaches, beside its data sheet."""
    side = 8192 if device == "cuda" else 1024
    _tf32(precision == "tf32")
    kind = _TYPES.get(precision, torch.float32)
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    return float(2 * side**3 / shortest(_finished(lambda: left @ right, device)))


@torch.inference_mode()
def in_torch(config: ModelConfig, precisions: Precisions, device: str, batches: Sequence[int]) -> Iterator[Measured]:
    """Modules with random weights (speed does not depend on them), 16-bit encoders by autocast."""
    model = Sat2Sound.from_config(config).eval().to(device)
    for batch in batches:
        given = made_inputs(config, batch)
        for branch, graphs in BRANCHES.items():
            taken = {}
            for graph in graphs:
                module = _MODULES[graph](model)
                values = [torch.from_numpy(array).to(device) for array in given[graph].values()]
                kind = _TYPES.get(precisions[graph])
                _tf32(precisions[graph] == "tf32")
                run = _finished(partial(module, *values), device)
                with torch.autocast(device, kind, enabled=kind is not None):
                    taken[graph] = shortest(run)
            yield Measured("torch", branch, batch, taken)


def in_onnxruntime(
    config: ModelConfig, repository: Path, precisions: Precisions, device: str, batches: Sequence[int]
) -> Iterator[Measured]:
    """The repository's own graphs; inputs and outputs stay on the device."""
    sessions = {}
    for graph in (graph for graphs in BRANCHES.values() for graph in graphs):
        cuda = ("CUDAExecutionProvider", {"use_tf32": str(int(precisions[graph] == "tf32"))})
        providers: list[Any] = [cuda] if device == "cuda" else ["CPUExecutionProvider"]
        path = repository / graph / "1" / "model.onnx"
        sessions[graph] = onnxruntime.InferenceSession(str(path), providers=providers)
    for batch in batches:
        given = made_inputs(config, batch)
        for branch, graphs in BRANCHES.items():
            taken = {}
            for graph in graphs:
                binding = sessions[graph].io_binding()
                known = {entry.name for entry in sessions[graph].get_inputs()}
                for name, array in given[graph].items():
                    if name in known:
                        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0))
                for output in sessions[graph].get_outputs():
                    binding.bind_output(output.name, device)

                def run(graph: str = graph, binding: Any = binding) -> None:
                    sessions[graph].run_with_iobinding(binding)
                    binding.synchronize_outputs()

                taken[graph] = shortest(run)
            yield Measured("onnxruntime", branch, batch, taken)


def behind_triton(config: ModelConfig, repository: Path, largest: int, batches: Sequence[int]) -> Iterator[Measured]:
    """`embed_pixels` from a client on the same machine; Triton's statistics say how long each graph computed. Means.

    largest: images that one request may hold; larger batches go as several requests at once.
    """
    random = np.random.default_rng(2)
    with TritonServer(repository) as server, Sat2SoundClient(server.grpc_url) as client:
        for batch in batches:
            pixels = pictures(batch, random)
            known = np.full((batch, len(contract.CONDITIONS)), np.nan, np.float32)
            pieces = [slice(start, start + largest) for start in range(0, batch, largest)]
            with ThreadPoolExecutor(len(pieces)) as threads:

                def run(
                    pixels: np.ndarray = pixels,
                    known: np.ndarray = known,
                    pieces: list[slice] = pieces,
                    pool: ThreadPoolExecutor = threads,
                ) -> None:
                    list(pool.map(lambda piece: client.embed_pixels(pixels[piece], known[piece]), pieces))

                run()  # to warm up
                before, started = _computed(server.http_url), time.perf_counter()
                for _ in range(TURNS):
                    run()
                whole, after = (time.perf_counter() - started) / TURNS, _computed(server.http_url)
            taken = {graph: (after[graph] - before[graph]) / TURNS for graph in BRANCHES["satellite"]}
            yield Measured("Triton", "satellite", batch, taken, whole)


def _computed(http: str) -> dict[str, float]:
    """Seconds that each graph has computed since the server's start."""
    found = {}
    for graph in BRANCHES["satellite"]:
        with urllib.request.urlopen(f"{http}/v2/models/{graph}/stats", timeout=10) as reply:  # noqa: S310 (our own server)
            (statistics,) = json.load(reply)["model_stats"]
        found[graph] = statistics["inference_stats"]["compute_infer"]["ns"] / 1e9
    return found
