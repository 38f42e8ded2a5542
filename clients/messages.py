"""Arrays to tritonclient's request parts and back: the same for the blocking and the asyncio connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient import grpc as triton

from sat2sound.contract import MODELS

Arrays = dict[str, npt.NDArray[Any]]


def request_inputs(model: str, inputs: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
    """One InferInput for each array, of the contract's data type."""
    tensors = []
    for name, array in inputs.items():
        tensor = triton.InferInput(name, list(array.shape), MODELS[model].input(name).datatype)
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def requested_outputs(model: str) -> list[Any]:
    """All outputs of the contract: what a newer server adds is not transferred."""
    return [triton.InferRequestedOutput(output.name) for output in MODELS[model].outputs]


def response_arrays(model: str, result: Any) -> Arrays:
    """Every output of the contract by name, with the batch dimension; BYTES as object arrays of bytes."""
    return {output.name: np.asarray(result.as_numpy(output.name)) for output in MODELS[model].outputs}
