"""Which INT8 for the satellite encoder on the CPU? All ways in one run: `python -m benchmarks.int8 starter`.

float32; one scale per row (what cpu-int8 uses); onnxruntime's MatMulNBits with 8 bits per weight; static scales from
calibration pictures. Branch: with the pooling, which is float32 in all of them. Models: starter, a published
configuration with random weights (its accuracy says little), or a folder: the float32 graphs of a built repository.
Ratios by the clock say little on a busy machine; those of processor time do, best with one thread, as it is served.
"""

from __future__ import annotations

import argparse
import logging
import os
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="starter", help="or the folder of a repository of profile cpu")
    parser.add_argument("--only", choices=WAYS, help="compare this way alone with float32")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as scratch:
        exact, pooling = graphs(options.model, Path(scratch))
        files = {"float32": exact}
        for way in [options.only] if options.only else WAYS:
            files[way] = Path(scratch) / f"{len(files)}.onnx"
            WAYS[way](exact, files[way])
        print(f"{options.model}, load average {os.getloadavg()[0]:.1f}")
        for threads in THREADS:
            for batch in BATCHES:
                compare(files, pooling, threads, batch)


def graphs(name: str, scratch: Path) -> tuple[Path, Path]:
    """Encoder and pooling in float32: exported now, or those of a repository."""
    if Path(name).is_dir():
        encoder, pooling = (Path(name, f"satellite_{part}", "1", "model.onnx") for part in ("encoder", "pooling"))
        return encoder, pooling
    model = Sat2Sound.from_checkpoint(name) if name == "starter" else Sat2Sound.from_config(name)
    encoder, pooling = scratch / "encoder.onnx", scratch / "pooling.onnx"
    write_graph(Graph(MODELS["satellite_encoder"], SatelliteEncoder(model).eval(), inputs(2, 1)), encoder)
    random = np.random.default_rng(3)
    tokens = random.standard_normal((2, model.config.image_tokens, model.config.embedding)).astype(np.float32)
    write_graph(Graph(MODELS["satellite_pooling"], SatellitePooling(model).eval(), {"TOKENS": tokens}), pooling)
    return encoder, pooling


def compare(files: dict[str, Path], pooling: Path, threads: int, batch: int) -> None:
    """One table. files: encoders."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as served; waiting is no work
    sessions = {way: onnxruntime.InferenceSession(str(path), options) for way, path in files.items()}
    given = inputs(batch, 7)
    feeds = {way: {i.name: given[i.name] for i in run.get_inputs()} for way, run in sessions.items()}
    tokens = {way: run.run(None, feeds[way])[0] for way, run in sessions.items()}
    outputs = {way: found.reshape(batch, -1) for way, found in tokens.items()}
    runs = {way: (run, feeds[way]) for way, run in sessions.items()}
    runs[POOLING] = (onnxruntime.InferenceSession(str(pooling), options), {"TOKENS": tokens["float32"]})
    taken = {way: np.full(2, np.inf) for way in runs}
    for _ in range(TURNS):
        for way, (run, feed) in runs.items():
            started = clocks()
            run.run(None, feed)
            taken[way] = np.minimum(taken[way], clocks() - started)
    exact = outputs["float32"]
    print(f"{threads} threads, batch {batch} (clock | processor):")
    for way, found in outputs.items():
        norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(found, axis=1)
        cosine = float(((exact * found).sum(axis=1) / norms).min())
        encoder = taken["float32"] / taken[way]
        branch = (taken["float32"] + taken[POOLING]) / (taken[way] + taken[POOLING])
        print(f"  {way:28} {both(1000 * taken[way], '7.0f')} ms, {both(encoder, '5.2f')} x, branch", end=" ")
        print(f"{both(branch, '5.2f')} x, cosine {cosine:.5f}")
    print(f"  {POOLING:28} {both(1000 * taken[POOLING], '7.0f')} ms")


def clocks() -> np.ndarray:
    """Seconds by the clock and of processor time: on a busy machine only the second is that of this program."""
    return np.array([time.perf_counter(), time.process_time()])


def both(values: np.ndarray, form: str) -> str:
    """By the clock | of processor time."""
    return " | ".join(format(value, form) for value in values)


if __name__ == "__main__":
    main()
