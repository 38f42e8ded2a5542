"""What system shared memory would save a client on the server's own machine: `embed_pixels` with and without it.

The same requests in one run, in turns: the pixels inside the gRPC message, as the client sends them, and in a shared
memory region that the server has been told of, written anew for every request. Prints milliseconds (median, 10th and
90th percentile) and the ratio, beside the time that the client's own process works for a request.

    .venv/bin/python -m benchmarks.shared_memory [--repository build/repository] [--requests 40] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient import grpc as triton
from tritonclient.utils import shared_memory

from sat2sound.clients.inputs import condition_arrays
from sat2sound.clients.servers import ready_repository
from sat2sound.contract import MAX_BATCH, MODELS, PIXELS
from sat2sound.serving.control import CONTROL_HEADER
from sat2sound.serving.launcher import TritonServer

_MODEL = "embed_pixels"
_REGION = "sat2sound_benchmark"


def inputs(batch: int, seed: int) -> dict[str, np.ndarray]:
    """Random images, nothing known about them."""
    pixels = np.random.default_rng(seed).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
    return {PIXELS.name: pixels, **condition_arrays(np.full(7, np.nan, np.float32), batch)}


def in_message(client: triton.InferenceServerClient, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Everything in the gRPC message."""
    return _infer(client, [_tensor(name, array) for name, array in arrays.items()])


def in_region(client: triton.InferenceServerClient, arrays: dict[str, np.ndarray], region: Any) -> np.ndarray:
    """The pixels in shared memory."""
    pixels = arrays[PIXELS.name]
    shared_memory.set_shared_memory_region(region, [pixels])
    tensor = triton.InferInput(PIXELS.name, list(pixels.shape), PIXELS.datatype)
    tensor.set_shared_memory(_REGION, pixels.nbytes)
    others = [_tensor(name, array) for name, array in arrays.items() if name != PIXELS.name]
    return _infer(client, [tensor, *others])


def _tensor(name: str, array: np.ndarray) -> triton.InferInput:
    tensor = triton.InferInput(name, list(array.shape), MODELS[_MODEL].input(name).datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def _infer(client: triton.InferenceServerClient, tensors: list[triton.InferInput]) -> np.ndarray:
    return np.asarray(client.infer(_MODEL, tensors, client_timeout=120.0).as_numpy("EMBEDDING"))


def measure(server: TritonServer, batch: int, requests: int) -> dict[str, Any]:
    """Both ways in turns, so that whatever else the machine does meets both alike."""
    client = triton.InferenceServerClient(server.grpc_url)
    headers = {f"triton-grpc-protocol-{CONTROL_HEADER}": server.control.key}  # our servers let nobody else register
    region = shared_memory.create_shared_memory_region(_REGION, f"/{_REGION}", batch * 224 * 224 * 3)
    try:
        client.register_system_shared_memory(_REGION, f"/{_REGION}", batch * 224 * 224 * 3, headers=headers)
        ways: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
            "message": lambda arrays: in_message(client, arrays),
            "region": lambda arrays: in_region(client, arrays, region),
        }
        wall: dict[str, list[float]] = {name: [] for name in ways}
        own: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(requests + 2):
            arrays = inputs(batch, turn)
            answers = []
            for name in list(ways)[:: 1 if turn % 2 else -1]:
                begun, worked = time.perf_counter(), time.process_time()
                answers.append(ways[name](arrays))
                if turn >= 2:  # the first ones warm up
                    wall[name].append((time.perf_counter() - begun) * 1000)
                    own[name].append((time.process_time() - worked) * 1000)
            if np.abs(answers[0] - answers[1]).max() > 1e-5:
                raise SystemExit("the two ways do not give the same embeddings")
    finally:
        client.unregister_system_shared_memory(_REGION, headers=headers)
        shared_memory.destroy_shared_memory_region(region)
        client.close()
    ratios = np.array(wall["region"]) / np.array(wall["message"])
    return {
        "batch": batch,
        "requests": requests,
        **{
            f"{name}_ms": [round(float(value), 2) for value in np.percentile(wall[name], (10, 50, 90))] for name in ways
        },
        **{f"{name}_client_cpu_ms": round(float(np.mean(own[name])), 2) for name in ways},
        "region_over_message": round(float(np.median(ratios)), 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    repository = ready_repository(options.repository, lambda step: print(step, file=sys.stderr))
    with TritonServer(repository) as server:
        rows = [measure(server, batch, options.requests) for batch in (1, 4, MAX_BATCH)]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| batch | in the message, ms (p10, p50, p90) | in shared memory, ms | ratio | client CPU ms of both |")
    print("|---|---|---|---|---|")
    for row in rows:
        message, region = (", ".join(f"{value:g}" for value in row[f"{name}_ms"]) for name in ("message", "region"))
        cpu = f"{row['message_client_cpu_ms']:g} / {row['region_client_cpu_ms']:g}"
        print(f"| {row['batch']} | {message} | {region} | {row['region_over_message']:g} | {cpu} |")


if __name__ == "__main__":
    main()
