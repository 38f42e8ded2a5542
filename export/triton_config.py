"""Triton model configurations, generated from the wire contract as protobufs and written as readable text."""

from __future__ import annotations

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2

from sat2sound.configs import ModelConfig
from sat2sound.contract import DESCRIBED_MODEL, DESCRIPTION_PARAMETER, Dimensions, ModelContract, Step, Tensor
from sat2sound.contract import MODELS as CONTRACT
from sat2sound.export.profiles import ModelServing, Profile

_DATA_TYPES = {
    "BYTES": "TYPE_STRING",
    "FP32": "TYPE_FP32",
    "INT32": "TYPE_INT32",
    "INT64": "TYPE_INT64",
    "UINT8": "TYPE_UINT8",
}
_BACKENDS = {"onnx": "onnxruntime", "python": "python"}
# Of no file: engines are named by key in cc_model_filenames, and a GPU that none was built for must load none.
NO_ENGINE = "no-engine-for-this-gpu.plan"
_HEADER = """\
# Generated from sat2sound/contract.py and export/profiles.py; after a change there, run
#   .venv/bin/python -m sat2sound.export.repository
"""


def model_config(model: ModelContract, dimensions: Dimensions, profile: Profile) -> model_config_pb2.ModelConfig:
    """The configuration of one model of the contract under one serving profile."""
    config = model_config_pb2.ModelConfig(name=model.name)
    for tensor in model.inputs:
        optional = tensor.optional or tensor.refused_if_missing
        entry = config.input.add(name=tensor.name, dims=dimensions.resolve(tensor), optional=optional)
        entry.data_type = _data_type(tensor)
    for tensor in model.outputs:
        config.output.add(name=tensor.name, dims=dimensions.resolve(tensor), data_type=_data_type(tensor))
    if model.kind == "ensemble":
        _ensemble(config, model, profile)
    else:
        _composing(config, model, profile.models[model.name], profile)
    return config


def configurations(config: ModelConfig, profile: Profile, max_k: int) -> dict[str, str]:
    """Model name -> text of its config.pbtxt, for every model. max_k: rows that `similarity` returns."""
    dimensions = config.dimensions(max_k)
    models = {name: model_config(model, dimensions, profile) for name, model in CONTRACT.items()}
    models[DESCRIBED_MODEL].parameters[DESCRIPTION_PARAMETER].string_value = config.to_compact_json()
    return {name: render(model) for name, model in models.items()}


def render(config: model_config_pb2.ModelConfig) -> str:
    """Protobuf text format, with a header that says where it comes from."""
    return _HEADER + str(text_format.MessageToString(config))


def parse(text: str) -> model_config_pb2.ModelConfig:
    """The inverse of `render`. Raises google.protobuf.text_format.ParseError."""
    config = model_config_pb2.ModelConfig()
    text_format.Parse(text, config)
    return config


def _data_type(tensor: Tensor) -> int:
    return int(model_config_pb2.DataType.Value(_DATA_TYPES[tensor.datatype]))


def _composing(
    config: model_config_pb2.ModelConfig, model: ModelContract, serving: ModelServing, profile: Profile
) -> None:
    config.backend = _BACKENDS[model.kind]
    if model.name in profile.engines:
        config.backend = "tensorrt"
        config.default_model_filename = NO_ENGINE
    config.max_batch_size = serving.max_batch_size
    # Python steps only touch what the client sent: they stay on the CPU whatever the encoders use.
    kind = profile.kind if model.kind == "onnx" else "KIND_CPU"
    group = config.instance_group.add(count=serving.instances)
    group.kind = model_config_pb2.ModelInstanceGroup.Kind.Value(kind)
    if config.backend == "onnxruntime" and kind == "KIND_GPU":
        # Without a word onnxruntime computes float32 products in TF32 on a GPU: said for every graph, as it was gated.
        cuda = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="cuda")
        cuda.parameters["use_tf32"] = str(int(profile.precision(model.name) == "tf32"))
    config.dynamic_batching.preferred_batch_size.extend(serving.preferred_batch_sizes)
    config.dynamic_batching.max_queue_delay_microseconds = serving.queue_delay_microseconds
    if serving.cached:
        config.response_cache.enable = True
    for name, value in sorted(serving.parameters.items()):
        config.parameters[name].string_value = value


def _ensemble(config: model_config_pb2.ModelConfig, model: ModelContract, profile: Profile) -> None:
    config.platform = "ensemble"
    config.max_batch_size = profile.ensemble_max_batch_size
    for step in model.steps:
        _step(config, model, step)


def _step(config: model_config_pb2.ModelConfig, model: ModelContract, step: Step) -> None:
    """One step, taking every input that the ensemble offers under the step's own names unless renamed."""
    composing = CONTRACT[step.model]
    entry = config.ensemble_scheduling.step.add(model_name=step.model, model_version=-1)
    offered = {tensor.name for tensor in model.inputs}
    for tensor in composing.inputs:
        source = step.rename_inputs.get(tensor.name, tensor.name)
        if tensor.optional and source not in offered:
            continue
        entry.input_map[tensor.name] = source
    for tensor in composing.outputs:
        entry.output_map[tensor.name] = step.rename_outputs.get(tensor.name, tensor.name)
