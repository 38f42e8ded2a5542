"""Log-mel in preprocessing (numpy) or as a graph (onnxruntime)? Milliseconds per ten-second recording, in one run.

Graph variants: the STFT as a product with a windowed Fourier basis (runs everywhere, TensorRT too), and ONNX's own STFT
operator (which TensorRT's parser lacks). `python benchmarks/log_mel.py`
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sat2sound.contract import MEL_BINS, MEL_FRAMES
from sat2sound.export.samples import recordings
from sat2sound.preprocessing.audio import SAMPLES
from sat2sound.preprocessing.log_mel import FLOOR, HOP, WINDOW, log_mel, mel_bands

_BINS = WINDOW // 2 + 1


def filters() -> np.ndarray:
    """Mel filters as one matrix, float32 [513, 64], from the library's band edges."""
    bands = mel_bands()
    matrix = np.zeros((_BINS, MEL_BINS), np.float32)
    owners = np.searchsorted(bands.starts, np.arange(len(bands.rising)), side="right") - 1
    for at, (owner, rising, falling) in enumerate(zip(owners, bands.rising, bands.falling, strict=True)):
        if owner < MEL_BINS:
            matrix[bands.bins.start + at, owner] += rising
        if owner > 0:
            matrix[bands.bins.start + at, owner - 1] += falling
    return matrix


def _window() -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def graph(variant: str) -> onnx.ModelProto:
    """WAVEFORM float32 [B, 320000] -> LOG_MEL float32 [B, 1, 1001, 64]. variant: "product" or "operator"."""
    node = helper.make_node
    constants: dict[str, np.ndarray] = {
        "pads": np.array([0, WINDOW // 2, 0, WINDOW // 2]),
        "filters": filters(),
        "floor": np.float32(FLOOR),
        "ten": np.float32(10 / np.log(10)),
        "one": np.array([1]),
    }
    nodes = [node("Pad", ["WAVEFORM", "pads"], ["padded"], mode="reflect")]
    if variant == "product":
        angles = 2 * np.pi * np.outer(np.arange(WINDOW), np.arange(_BINS)) / WINDOW
        basis = _window()[:, None] * np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        constants["kernel"] = np.ascontiguousarray(basis.T[:, None]).astype(np.float32)
        nodes += [
            node("Unsqueeze", ["padded", "one"], ["channel"]),
            node("Conv", ["channel", "kernel"], ["both"], strides=[HOP]),
            node("Split", ["both"], ["real", "imaginary"], axis=1, num_outputs=2),
            node("Mul", ["real", "real"], ["real2"]),
            node("Mul", ["imaginary", "imaginary"], ["imaginary2"]),
            node("Add", ["real2", "imaginary2"], ["power0"]),
            node("Transpose", ["power0"], ["power"], perm=[0, 2, 1]),
        ]
    else:
        constants |= {"hop": np.int64(HOP), "window": _window(), "last": np.array([-1])}
        nodes += [
            node("Unsqueeze", ["padded", "last"], ["signal"]),
            node("STFT", ["signal", "hop", "window"], ["spectrum"], onesided=1),
            node("ReduceSumSquare", ["spectrum", "last"], ["power"], keepdims=0),
        ]
    nodes += [
        node("MatMul", ["power", "filters"], ["mel"]),
        node("Max", ["mel", "floor"], ["floored"]),
        node("Log", ["floored"], ["logarithm"]),
        node("Mul", ["logarithm", "ten"], ["decibels"]),
        node("Unsqueeze", ["decibels", "one"], ["LOG_MEL"]),
    ]
    body = helper.make_graph(
        nodes,
        "audio_features",
        [helper.make_tensor_value_info("WAVEFORM", TensorProto.FLOAT, ["batch", SAMPLES])],
        [helper.make_tensor_value_info("LOG_MEL", TensorProto.FLOAT, ["batch", 1, MEL_FRAMES, MEL_BINS])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def milliseconds(run: Callable[[], object], turns: int = 15) -> float:
    """Median of several calls."""
    run()
    taken = []
    for _ in range(turns):
        started = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - started))
    return float(np.median(taken))


def main() -> None:
    """Print one line per variant."""
    waveforms = recordings(1, np.random.default_rng(0))
    expected = log_mel(waveforms[0])
    print(f"numpy, 1 thread                {milliseconds(lambda: log_mel(waveforms[0])):7.1f} ms")
    with TemporaryDirectory() as folder:
        for variant in ("product", "operator"):
            path = Path(folder, f"{variant}.onnx")
            onnx.save(graph(variant), str(path))
            for threads in (1, 2):
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = threads
                session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
                (found,) = session.run(None, {"WAVEFORM": waveforms})
                taken = milliseconds(lambda session=session: session.run(None, {"WAVEFORM": waveforms}))
                gap = float(np.abs(found[0] - expected).max())
                print(f"graph, {variant:8}, {threads} thread(s)   {taken:7.1f} ms   differs by {gap:.1e} dB")


if __name__ == "__main__":
    main()
