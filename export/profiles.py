"""How a repository is served: what differs between a laptop and a GPU node, apart from the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sat2sound.contract import MAX_BATCH
from sat2sound.errors import InvalidInput
from sat2sound.export.gates.tolerances import Precision


@dataclass(frozen=True)
class ModelServing:
    """Serving choices of one composing model.

    max_batch_size: items per execution. queue_delay_microseconds: how long the dynamic batcher waits for company.
    instances: how many copies run at once. preferred_batch_sizes: what the dynamic batcher makes of requests that wait;
    empty: as much as there is, up to the maximum. parameters: passed to the backend. cached: answers are kept in
    Triton's response cache and given again for the same input.
    """

    max_batch_size: int
    queue_delay_microseconds: int = 0
    instances: int = 1
    preferred_batch_sizes: tuple[int, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    cached: bool = False


@dataclass(frozen=True)
class Profile:
    """A named set of choices.

    ensemble_max_batch_size: items per request at the public models. precisions: of the graphs that are not float32;
    codebook pooling keeps float32 numbers, sums and sparsemax in all of them (MODEL.md, shared codebook). engines: the
    graphs that run as TensorRT engines, built on the node that serves them; the others run in onnxruntime.
    """

    name: str
    kind: str
    ensemble_max_batch_size: int
    models: Mapping[str, ModelServing]
    precisions: Mapping[str, Precision] = field(default_factory=dict)
    engines: tuple[str, ...] = ()

    def precision(self, graph: str) -> Precision:
        """In which numbers this graph computes."""
        return self.precisions.get(graph, "float32")


def _threads(count: int) -> dict[str, str]:
    # Spinning threads of one session slow the others down when they share cores (FIELD.md: 25 ms becomes 50 ms).
    return {"intra_op_thread_count": str(count), "session.intra_op.allow_spinning": "0"}


MAX_K = 100  # rows that `similarity` returns, and so the largest TOP_K; fewer if the gallery has fewer

CPU = Profile(
    name="cpu",
    kind="KIND_CPU",
    ensemble_max_batch_size=MAX_BATCH,
    models={
        # Two decoders overlap with the encoder; more would only take its cores.
        "satellite_preprocess": ModelServing(MAX_BATCH, instances=2),
        # One thread per core in sessions of their own, small batches: 1.3 to 1.6 times the images per second of one
        # session with two threads, which wait for each other at every operator (docs/benchmarks.md).
        "satellite_encoder": ModelServing(MAX_BATCH, instances=2, preferred_batch_sizes=(1, 2), parameters=_threads(1)),
        "satellite_pooling": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "audio_preprocess": ModelServing(MAX_BATCH),
        "audio_encoder": ModelServing(MAX_BATCH, parameters=_threads(2)),
        "audio_pooling": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "text_preprocess": ModelServing(MAX_BATCH),
        # The same questions come again and again. Never an ensemble: its cache outlives a reload of its steps.
        "text_encoder": ModelServing(MAX_BATCH, parameters=_threads(2), cached=True),
        "text_pooling": ModelServing(MAX_BATCH, parameters=_threads(1), cached=True),
        "similarity": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "gallery": ModelServing(MAX_BATCH),
        "query_scores": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "score_check": ModelServing(MAX_BATCH),
    },
)

# INT8 where it pays. The audio encoder has many narrow products and gains a sixth at published size, for an error
# that swamped what told its recordings apart (random weights). The text encoder is small, its answers are cached, and
# one-word texts lost too much (cosine 0.983). Codebook pooling stays float32 everywhere.
CPU_INT8 = replace(
    CPU,
    name="cpu-int8",
    precisions={"satellite_encoder": "int8"},
)

_GPU_BATCH = 64
GPU = Profile(
    name="gpu",
    kind="KIND_GPU",
    ensemble_max_batch_size=_GPU_BATCH,
    models={
        name: replace(
            serving,
            max_batch_size=_GPU_BATCH,
            # A GPU is fast enough that waiting a millisecond for company costs less than a half-empty batch.
            queue_delay_microseconds=1000 if name.endswith("_encoder") else 0,
            instances=4 if name.endswith("_preprocess") else 1,
            preferred_batch_sizes=(),
            parameters={},
        )
        for name, serving in CPU.models.items()
    },
    precisions={
        "satellite_encoder": "float16",
        "audio_encoder": "float16",
        # Flan-T5, which published models use, overflows in float16; TF32 has the range of float32.
        "text_encoder": "tf32",
        # In float32 the codebook product alone would take most of a GPU's time (docs/gpu.md).
        "satellite_pooling": "tf32",
        "audio_pooling": "tf32",
        "text_pooling": "tf32",
    },
)

# `similarity` holds the gallery: in onnxruntime, a new gallery is published without building an engine. It and
# `query_scores` are single products, with nothing for TensorRT to fuse. Bfloat16 has the range that Flan-T5 needs at
# twice the rate of TF32; onnxruntime has no kernels for it on the CPU, where `gpu` is tried.
TENSORRT = replace(
    GPU,
    name="tensorrt",
    precisions={**GPU.precisions, "text_encoder": "bfloat16"},
    engines=tuple(name for name in GPU.models if name.endswith(("_encoder", "_pooling"))),
)

PROFILES = {profile.name: profile for profile in (CPU, CPU_INT8, GPU, TENSORRT)}


def find_profile(name: str) -> Profile:
    """The profile of that name. Raises InvalidInput listing the known ones."""
    if name not in PROFILES:
        raise InvalidInput(f"unknown profile {name!r}", expected=f"one of {', '.join(PROFILES)}", fix="choose one")
    return PROFILES[name]
