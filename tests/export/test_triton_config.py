from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2

from sat2sound.configs import config_names, load_config
from sat2sound.contract import MODELS, ModelContract, Tensor, composing_models, ensembles
from sat2sound.export.profiles import MAX_K, PROFILES
from sat2sound.export.repository import SOURCES
from sat2sound.export.triton_config import configurations, model_config, parse, render

DIMENSIONS = load_config("starter").dimensions(MAX_K)
WIRE_TYPES = {
    "BYTES": "TYPE_STRING",
    "FP32": "TYPE_FP32",
    "INT32": "TYPE_INT32",
    "INT64": "TYPE_INT64",
    "UINT8": "TYPE_UINT8",
}
every_model = pytest.mark.parametrize("contract", list(MODELS.values()), ids=lambda contract: contract.name)


def checked_in(name: str) -> Any:
    """A checked-in configuration, read without this project's code."""
    config = model_config_pb2.ModelConfig()
    text_format.Parse((SOURCES / name / "config.pbtxt").read_text(encoding="utf-8"), config)
    return config


def signature(entries: Any) -> dict[str, tuple[str, tuple[int, ...], bool]]:
    return {
        entry.name: (
            model_config_pb2.DataType.Name(entry.data_type),
            tuple(entry.dims),
            getattr(entry, "optional", False),
        )
        for entry in entries
    }


def promised(tensors: tuple[Tensor, ...]) -> dict[str, tuple[str, tuple[int, ...], bool]]:
    return {
        tensor.name: (
            WIRE_TYPES[tensor.datatype],
            DIMENSIONS.resolve(tensor),
            tensor.optional or tensor.refused_if_missing,
        )
        for tensor in tensors
    }


def test_the_checked_in_configurations_are_what_a_build_writes() -> None:
    written = configurations(load_config("starter"), PROFILES["cpu"], MAX_K)
    on_disk = {path.parent.name: path.read_bytes() for path in SOURCES.glob("*/config.pbtxt")}
    assert on_disk.keys() == written.keys() == MODELS.keys()
    stale = [name for name, text in written.items() if on_disk[name] != text.encode()]
    assert not stale, f"{stale} are not what the contract says; run python -m sat2sound.export.repository"


@every_model
def test_names_types_and_sizes_follow_the_contract(contract: ModelContract) -> None:
    config = checked_in(contract.name)
    assert config.name == contract.name
    assert signature(config.input) == promised(contract.inputs)
    assert signature(config.output) == promised(contract.outputs)
    assert config.max_batch_size > 1
    kind = config.platform or config.backend
    assert kind == {"ensemble": "ensemble", "onnx": "onnxruntime", "python": "python"}[contract.kind]


@every_model
def test_python_models_are_checked_in_and_no_weights_are(contract: ModelContract) -> None:
    folder = SOURCES / contract.name
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}
    assert files == {"config.pbtxt"} | ({"1", "1/model.py"} if contract.kind == "python" else set())


@pytest.mark.parametrize("contract", list(ensembles()), ids=lambda contract: contract.name)
def test_steps_connect_tensors_of_one_type_and_size(contract: ModelContract) -> None:
    config = checked_in(contract.name)
    flowing = {name: (kind, dims) for name, (kind, dims, _) in signature(config.input).items()}
    optional = {name for name, (_, _, optional) in signature(config.input).items() if optional}
    steps = config.ensemble_scheduling.step
    assert [step.model_name for step in steps] == [step.model for step in contract.steps]
    used = set()
    for step in steps:
        composing = checked_in(step.model_name)
        inputs, outputs = signature(composing.input), signature(composing.output)
        assert inputs.keys() == set(step.input_map)
        for name, source in step.input_map.items():
            kind, dims, may_be_left_out = inputs[name]
            assert flowing[source] == (kind, dims), f"{step.model_name}.{name} takes {source}"
            assert may_be_left_out or source not in optional, f"{step.model_name}.{name} needs {source}"
            used.add(source)
        for name, target in step.output_map.items():
            assert target not in flowing, f"{step.model_name}.{name} overwrites {target}"
            flowing[target] = outputs[name][:2]
        assert composing.max_batch_size >= config.max_batch_size
    assert used >= {entry.name for entry in config.input}
    assert {name: flowing[name] for name in signature(config.output)} == {
        name: (kind, dims) for name, (kind, dims, _) in signature(config.output).items()
    }


@pytest.mark.parametrize("contract", list(composing_models()), ids=lambda contract: contract.name)
def test_composing_models_batch_on_the_processor(contract: ModelContract) -> None:
    config = checked_in(contract.name)
    assert config.HasField("dynamic_batching")
    (group,) = config.instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
    assert group.count >= 1
    if contract.kind == "onnx":
        # Two spinning sessions on shared cores double each other's latency.
        assert config.parameters["session.intra_op.allow_spinning"].string_value == "0"
        assert int(config.parameters["intra_op_thread_count"].string_value) >= 1


def test_the_satellite_encoder_fills_two_cores_with_small_batches_on_a_processor_only() -> None:
    config = checked_in("satellite_encoder")
    assert config.instance_group[0].count == 2
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    assert list(config.dynamic_batching.preferred_batch_size) == [1, 2]
    dimensions = load_config("starter").dimensions(7)
    for profile in ("gpu", "tensorrt"):
        batched = model_config(MODELS["satellite_encoder"], dimensions, PROFILES[profile])
        assert list(batched.dynamic_batching.preferred_batch_size) == []
        assert batched.instance_group[0].count == 1


@pytest.mark.parametrize("name", config_names())
def test_every_model_of_the_project_can_be_configured(name: str) -> None:
    config = load_config(name)
    encoder = model_config(MODELS["satellite_encoder"], config.dimensions(7), PROFILES["cpu"])
    assert list(encoder.output[0].dims) == [config.image_tokens, config.embedding]
    assert list(model_config(MODELS["similarity"], config.dimensions(7), PROFILES["cpu"]).output[1].dims) == [7]


@every_model
def test_rendered_text_reads_back(contract: ModelContract) -> None:
    config = model_config(contract, DIMENSIONS, PROFILES["cpu"])
    text = render(config)
    assert parse(text) == config
    assert text.startswith("# Generated from")


@pytest.mark.parametrize("profile", ["gpu", "tensorrt"])
@every_model
def test_on_a_gpu_onnxruntime_uses_tf32_only_where_the_gates_had_it(contract: ModelContract, profile: str) -> None:
    """Its CUDA provider has TF32 on unless told otherwise."""
    config = model_config(contract, DIMENSIONS, PROFILES[profile])
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    if config.backend != "onnxruntime":
        assert not accelerators
        return
    (cuda,) = accelerators
    in_tf32 = PROFILES[profile].precision(contract.name) == "tf32"
    assert (cuda.name, dict(cuda.parameters)) == ("cuda", {"use_tf32": "1" if in_tf32 else "0"})


def test_sources_are_the_top_level_folder() -> None:
    assert Path(__file__).resolve().parents[2] / "model_repository" == SOURCES
