"""Bare gRPC requests, for tests that must not depend on our client library."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype

from sat2sound.contract import CONDITIONS

Arrays = dict[str, np.ndarray]


def infer(url: str, model: str, inputs: Mapping[str, np.ndarray], timeout: float = 120.0) -> Arrays:
    """One request; arrays have the batch first, bytes are object arrays. Raises InferenceServerException."""
    tensors = []
    for name, array in inputs.items():
        tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    client = triton.InferenceServerClient(url)
    try:
        result = client.infer(model, tensors, client_timeout=timeout)
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}
    finally:
        client.close()


def pixel_inputs(batch: int = 1, *, gsd: float = 0.3, latitude: float = np.nan, seed: int = 0) -> Arrays:
    """Inputs of `embed_pixels` and `satellite_encoder`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
    columns = {tensor.name: np.full((batch, 1), np.nan, np.float32) for tensor in CONDITIONS}
    columns["GSD"][:], columns["LATITUDE"][:] = gsd, latitude
    return {"PIXELS": pixels, **columns}


def bytes_input(*values: bytes) -> np.ndarray:
    """object [n, 1]."""
    return np.array([[value] for value in values], dtype=np.object_)


class Running:
    """A request in a thread of its own. result() waits for it, and raises what it raised."""

    def __init__(self, url: str, model: str, inputs: Mapping[str, np.ndarray]) -> None:
        self._outcome: Arrays | BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(url, model, inputs), daemon=True)
        self._thread.start()

    def _run(self, *arguments: Any) -> None:
        try:
            self._outcome = infer(*arguments)
        except BaseException as error:
            self._outcome = error

    def done(self) -> bool:
        """Whether an answer has arrived."""
        return not self._thread.is_alive()

    def result(self, timeout: float = 60.0) -> Arrays:
        """The outputs."""
        self._thread.join(timeout)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        assert self._outcome is not None, f"no answer after {timeout} s"
        return self._outcome
