"""The GPU and the TensorRT of this node, or an error that says what to install."""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass
from typing import Any

from sat2sound.errors import Sat2SoundError

_LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CUdevice_attribute: COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR
_NAME_BYTES = 256


class TensorRTUnavailable(Sat2SoundError):
    """Engines cannot be built on this machine. problem: what is missing; fix: what to do."""

    def __init__(self, problem: str, *, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"TensorRT engines cannot be built here: {problem}; to fix it, {fix}")


@dataclass(frozen=True)
class Device:
    """What engines are tied to. compute_capability: e.g. "9.0". tensorrt: its full version. name: for people."""

    compute_capability: str
    tensorrt: str
    name: str


def find_device() -> Device:
    """The first visible GPU (CUDA_VISIBLE_DEVICES) and the installed TensorRT. Raises TensorRTUnavailable."""
    tensorrt = import_tensorrt()
    capability, name = _gpu()
    return Device(capability, str(tensorrt.__version__), name)


def import_tensorrt() -> Any:
    """The package `tensorrt` with its libraries. Raises TensorRTUnavailable."""
    install = "on a node with an NVIDIA GPU run `pip install tensorrt==<the version of the serving container>`"
    try:
        module = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:  # OSError: bindings without the libraries
        raise TensorRTUnavailable(f"the package tensorrt cannot be imported ({error})", fix=install) from error
    if not hasattr(module, "Builder"):
        raise TensorRTUnavailable("the package tensorrt is an empty stub", fix=install)
    return module


def _gpu() -> tuple[str, str]:
    fix = "run this on a node with an NVIDIA GPU and its driver (in a container: with the GPU passed in)"
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise TensorRTUnavailable(f"there is no NVIDIA driver ({error})", fix=fix) from error
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    calls = (
        (driver.cuInit, (0,)),
        (driver.cuDeviceGet, (ctypes.byref(device), 0)),
        (driver.cuDeviceGetAttribute, (ctypes.byref(major), _MAJOR, device)),
        (driver.cuDeviceGetAttribute, (ctypes.byref(minor), _MINOR, device)),
        (driver.cuDeviceGetName, (name, _NAME_BYTES, device)),
    )
    for function, arguments in calls:
        if code := function(*arguments):
            raise TensorRTUnavailable(f"{function.__name__} of the NVIDIA driver failed with code {code}", fix=fix)
    return f"{major.value}.{minor.value}", name.value.decode(errors="replace")
