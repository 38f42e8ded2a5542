"""Which INT8 for the satellite encoder on the CPU? All ways in one run: `python -m benchmarks.int8 starter`.

float32; one scale per row (what cpu-int8 uses); onnxruntime's MatMulNBits with 8 bits per weight; static scales from
calibration pictures. Branch: with the pooling, which is float32 in all of them. Models: starter, or a published
configuration with random weights (its accuracy says little).
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

from sat2sound.contract import MODELS
from sat2sound.export.graphs import Graph, SatelliteEncoder, SatellitePooling
from sat2sound.export.onnx_graph import write_graph
from sat2sound.export.precision.int8 import quantise
from sat2sound.export.samples import conditions, pictures
from sat2sound.models import Sat2Sound

THREADS = (1, 2)
BATCHES = (1, 4)
TURNS = 10
POOLING = "pooling, float32"


def inputs(count: int, seed: int) -> dict[str, np.ndarray]:
    """Pictures and conditions as the encoder takes them."""
    random = np.random.default_rng(seed)
    return {"PIXELS": pictures(count, random), **conditions(count, random)}


class Calibration(CalibrationDataReader):
    """Drawn pictures, four at a time."""

    def __init__(self, names: set[str]) -> None:
        self._left = [{n: a for n, a in inputs(4, seed).items() if n in names} for seed in range(100, 104)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch."""
        return self._left.pop() if self._left else None


def static(source: Path, destination: Path) -> None:
    """One scale per tensor from calibration pictures, one per column of the weights."""
    names = {entry.name for entry in onnx.load(str(source), load_external_data=False).graph.input}
    quantize_static(
        str(source),
        str(destination),
        Calibration(names),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


def blocks(source: Path, destination: Path) -> None:
    """8 bits per weight in blocks of 128, activations quantised by the kernel in the same blocks."""
    settings = DefaultWeightOnlyQuantConfig(block_size=128, is_symmetric=True, accuracy_level=4, bits=8)
    quantizer = MatMulNBitsQuantizer(onnx.load(str(source)), algo_config=settings)
    quantizer.process()
    quantizer.model.save_model_to_file(str(destination), use_external_data_format=False)


WAYS: dict[str, Callable[[Path, Path], object]] = {
    "one scale per row": quantise,
    "blocks of 128 (MatMulNBits)": blocks,
    "static scales": static,
}


def main() -> None:
    """Print speed and accuracy of each way, relative to float32."""
    logging.disable(logging.INFO)
    name = sys.argv[1] if len(sys.argv) > 1 else "starter"
    model = Sat2Sound.from_checkpoint(name) if name == "starter" else Sat2Sound.from_config(name)
    with tempfile.TemporaryDirectory() as scratch:
        exact = Path(scratch) / "float32.onnx"
        contract = MODELS["satellite_encoder"]
        write_graph(Graph(contract, SatelliteEncoder(model).eval(), inputs(2, 1)), exact)
        files = {"float32": exact}
        for way, convert in WAYS.items():
            files[way] = Path(scratch) / f"{len(files)}.onnx"
            convert(exact, files[way])
        pooling = Path(scratch) / "pooling.onnx"
        random = np.random.default_rng(3)
        tokens = random.standard_normal((2, model.config.image_tokens, model.config.embedding)).astype(np.float32)
        write_graph(Graph(MODELS["satellite_pooling"], SatellitePooling(model).eval(), {"TOKENS": tokens}), pooling)
        print(f"{name}, load average {os.getloadavg()[0]:.1f}")
        for threads in THREADS:
            for batch in BATCHES:
                compare(files, pooling, threads, batch)


def compare(files: dict[str, Path], pooling: Path, threads: int, batch: int) -> None:
    """One table. files: encoders."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    sessions = {way: onnxruntime.InferenceSession(str(path), options) for way, path in files.items()}
    given = inputs(batch, 7)
    feeds = {way: {i.name: given[i.name] for i in run.get_inputs()} for way, run in sessions.items()}
    tokens = {way: run.run(None, feeds[way])[0] for way, run in sessions.items()}
    outputs = {way: found.reshape(batch, -1) for way, found in tokens.items()}
    runs = {way: (run, feeds[way]) for way, run in sessions.items()}
    runs[POOLING] = (onnxruntime.InferenceSession(str(pooling), options), {"TOKENS": tokens["float32"]})
    taken: dict[str, float] = dict.fromkeys(runs, float("inf"))
    for _ in range(TURNS):
        for way, (run, feed) in runs.items():
            started = time.perf_counter()
            run.run(None, feed)
            taken[way] = min(taken[way], time.perf_counter() - started)
    exact = outputs["float32"]
    print(f"{threads} threads, batch {batch}:")
    for way, found in outputs.items():
        norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(found, axis=1)
        cosine = float(((exact * found).sum(axis=1) / norms).min())
        encoder = taken["float32"] / taken[way]
        branch = (taken["float32"] + taken[POOLING]) / (taken[way] + taken[POOLING])
        print(f"  {way:28} {1000 * taken[way]:7.0f} ms  {encoder:5.2f} x, branch {branch:5.2f} x  cosine {cosine:.5f}")
    print(f"  {POOLING:28} {1000 * taken[POOLING]:7.0f} ms")


if __name__ == "__main__":
    main()
