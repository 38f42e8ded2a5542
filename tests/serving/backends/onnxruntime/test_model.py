"""The backend in a real server, against a bare session on the same graph."""

from __future__ import annotations

import dataclasses
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from raw_client import Arrays, Running, bytes_input, infer, pixel_inputs
from tiny_repository import CONFIG, ENTRIES, build_tiny_repository
from tritonclient.utils import InferenceServerException

from sat2sound.export.profiles import PROFILES, ModelServing
from sat2sound.serving.launcher import TritonServer

RANDOM = np.random.default_rng(3)


def inputs_of(model: str, batch: int) -> Arrays:
    """Random inputs of an ONNX model."""
    dimensions = CONFIG.dimensions(ENTRIES)
    lengths = RANDOM.integers(1, 9, batch)
    text = {
        "INPUT_IDS": RANDOM.integers(0, 8, (batch, 8)),
        "ATTENTION_MASK": (np.arange(8) < lengths[:, None]).astype(np.int64),
    }

    def normal(*shape: int) -> np.ndarray:
        return RANDOM.standard_normal((batch, *shape)).astype(np.float32)

    embedding = normal(dimensions.embedding)
    return {
        "satellite_encoder": pixel_inputs(batch, latitude=45.0, seed=batch),
        "satellite_pooling": {"TOKENS": normal(dimensions.image_tokens, dimensions.embedding)},
        "audio_encoder": {"LOG_MEL": normal(1, 1001, 64)},
        "audio_pooling": {"TOKENS": normal(dimensions.audio_tokens, dimensions.audio_width)},
        "text_encoder": text,
        "text_pooling": {"TOKENS": normal(8, dimensions.text_width), "ATTENTION_MASK": text["ATTENTION_MASK"]},
        "similarity": {"EMBEDDING": embedding},
        "query_scores": {"EMBEDDING": embedding, "QUERIES": normal(5, dimensions.embedding)},
    }[model]


MODELS = (
    "satellite_encoder",
    "satellite_pooling",
    "audio_encoder",
    "audio_pooling",
    "text_encoder",
    "text_pooling",
    "similarity",
    "query_scores",
)


def executions(server: TritonServer, model: str) -> int:
    """How many batches the model has run."""
    with urllib.request.urlopen(server.metrics_url, timeout=10) as response:  # noqa: S310
        lines = response.read().decode().splitlines()
    (line,) = [line for line in lines if line.startswith(f'nv_inference_exec_count{{model="{model}"')]
    return int(float(line.split()[-1]))


@pytest.fixture(scope="module")
def batching_server(triton_environment: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """The satellite encoder in one instance that takes all that wait: on the cpu profile, batches of two are faster."""
    cpu = PROFILES["cpu"]
    models = {**cpu.models, "satellite_encoder": ModelServing(cpu.models["satellite_encoder"].max_batch_size)}
    repository = build_tiny_repository(tmp_path_factory.mktemp("batching"), dataclasses.replace(cpu, models=models))
    with TritonServer(repository, environment=triton_environment) as running:
        yield running


@pytest.mark.parametrize("model", MODELS)
def test_outputs_are_those_of_a_bare_session(tiny_server: TritonServer, tiny_repository: Path, model: str) -> None:
    bare = onnxruntime.InferenceSession(
        str(tiny_repository / model / "1" / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    for batch in (1, 2, 5, 16):
        inputs = inputs_of(model, batch)
        served = infer(tiny_server.grpc_url, model, inputs)
        expected = dict(zip((output.name for output in bare.get_outputs()), bare.run(None, inputs), strict=True))
        assert served.keys() == expected.keys()
        for name, values in expected.items():
            assert served[name].dtype == values.dtype
            np.testing.assert_allclose(served[name], values, rtol=1e-6, atol=1e-6)


def test_waiting_requests_share_a_batch_and_get_their_own_rows(batching_server: TritonServer) -> None:
    url = batching_server.grpc_url
    alone = [infer(url, "satellite_encoder", pixel_inputs(1 + seed % 2, seed=seed)) for seed in range(6)]
    before = executions(batching_server, "satellite_encoder")
    first = Running(url, "satellite_encoder", pixel_inputs(1, gsd=800, seed=99))  # keeps the model busy meanwhile
    time.sleep(0.3)
    others = [Running(url, "satellite_encoder", pixel_inputs(1 + seed % 2, seed=seed)) for seed in range(6)]
    for running, expected in zip(others, alone, strict=True):
        np.testing.assert_allclose(running.result()["TOKENS"], expected["TOKENS"], atol=1e-5)
    first.result()
    assert executions(batching_server, "satellite_encoder") - before == 2


def test_a_request_that_fails_in_the_graph_harms_no_other_in_its_batch(batching_server: TritonServer) -> None:
    url = batching_server.grpc_url
    alone = [infer(url, "embed_pixels", pixel_inputs(1, seed=seed)) for seed in range(4)]
    before = executions(batching_server, "satellite_encoder")
    first = Running(url, "embed_pixels", pixel_inputs(1, gsd=800, seed=99))
    time.sleep(0.3)
    good = [Running(url, "embed_pixels", pixel_inputs(1, seed=seed)) for seed in range(2)]
    bad = Running(url, "embed_pixels", pixel_inputs(1, latitude=500.0))
    good += [Running(url, "embed_pixels", pixel_inputs(1, seed=seed)) for seed in range(2, 4)]
    for running, expected in zip(good, alone, strict=True):
        np.testing.assert_allclose(running.result()["EMBEDDING"], expected["EMBEDDING"], atol=1e-5)
    with pytest.raises(InferenceServerException, match=r"onnxruntime: .*idx=500 must be within"):
        bad.result()
    first.result()
    assert executions(batching_server, "satellite_encoder") - before == 2, "they were in one batch"


def test_texts_of_different_padded_lengths_are_served_side_by_side(tiny_server: TritonServer) -> None:
    url = tiny_server.grpc_url
    short, long = b"waves on a beach", b"birds " * 40
    alone = [infer(url, "embed_text", {"TEXT": bytes_input(text)})["EMBEDDING"] for text in (short, long)]
    running = [Running(url, "embed_text", {"TEXT": bytes_input(text)}) for text in (short, long) * 4]
    for request, expected in zip(running, alone * 4, strict=True):
        np.testing.assert_allclose(request.result()["EMBEDDING"], expected, atol=1e-5)
