from __future__ import annotations

from typing import Any

import onnxruntime
import pytest

from sat2sound.serving.backends.onnxruntime.options import providers, session_options

Level, Mode = onnxruntime.GraphOptimizationLevel, onnxruntime.ExecutionMode


def config(parameters: dict[str, str], level: int | None = None) -> dict[str, Any]:
    """A Triton configuration as the server hands it to a backend."""
    made: dict[str, Any] = {"parameters": {name: {"string_value": value} for name, value in parameters.items()}}
    return made if level is None else {**made, "optimization": {"graph": {"level": level}}}


def test_nothing_asked_is_onnxruntimes_default() -> None:
    options, default = session_options({}), onnxruntime.SessionOptions()
    for name in ("intra_op_num_threads", "inter_op_num_threads", "execution_mode", "graph_optimization_level"):
        assert getattr(options, name) == getattr(default, name)
    assert options.enable_cpu_mem_arena
    assert options.enable_mem_pattern


def test_native_parameters_are_honoured() -> None:
    options = session_options(
        config(
            {
                "intra_op_thread_count": "3",
                "inter_op_thread_count": "2",
                "execution_mode": "1",
                "enable_mem_arena": "0",
                "enable_mem_pattern": "false",
            }
        )
    )
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
    assert options.execution_mode == Mode.ORT_PARALLEL
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern


@pytest.mark.parametrize(
    ("level", "meaning"),
    [
        (-1, Level.ORT_ENABLE_BASIC),
        (0, Level.ORT_ENABLE_ALL),
        (1, Level.ORT_ENABLE_EXTENDED),
        (2, Level.ORT_DISABLE_ALL),
    ],
)
def test_graph_levels_mean_what_they_mean_to_the_native_backend(level: int, meaning: Any) -> None:
    assert session_options(config({}, level)).graph_optimization_level == meaning


def test_session_entries_are_passed_on() -> None:
    options = session_options(config({"session.intra_op.allow_spinning": "0"}))
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("name", "value"), [("intra_op_thread_count", "two"), ("inter_op_thread_count", "-1"), ("execution_mode", "2")]
)
def test_a_value_that_is_not_allowed_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} is '{value}'; expected"):
        session_options(config({name: value}))


def test_a_level_that_is_not_allowed_is_named() -> None:
    with pytest.raises(ValueError, match=r"optimization.graph.level is '3'; expected one of -1, 0, 1, 2"):
        session_options(config({}, 3))


def test_the_processor_needs_no_accelerator() -> None:
    assert providers({}, "CPU", 0) == ["CPUExecutionProvider"]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this build has CUDA")
def test_an_accelerator_that_this_build_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"this onnxruntime has no cuda"):
        providers({}, "GPU", 0)
    wanted = {"optimization": {"execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]}}}
    with pytest.raises(ValueError, match="has no openvino"):
        providers(wanted, "CPU", 0)


def test_settings_of_the_gpu_reach_its_provider_once(monkeypatch: pytest.MonkeyPatch) -> None:
    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    listed = [{"name": "cuda", "parameters": {"use_tf32": "0"}}]
    wanted = {"optimization": {"execution_accelerators": {"gpu_execution_accelerator": listed}}}
    expected = [("CUDAExecutionProvider", {"use_tf32": "0", "device_id": "1"}), "CPUExecutionProvider"]
    assert providers(wanted, "GPU", 1) == expected
    assert providers({}, "GPU", 0) == [("CUDAExecutionProvider", {"device_id": "0"}), "CPUExecutionProvider"]
