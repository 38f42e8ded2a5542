"""The wire contract: every model that Triton serves, with the names, data types and shapes of its tensors.

This is the only place where they are written down. Triton configurations are generated from it (and a test holds the
checked-in ones against it); clients, python models, graphs and gates import it.

Sizes that depend on the model are symbols ("embedding", "image_tokens", ...), resolved by `Dimensions`. -1 is a
dimension that varies per request. Shapes leave out the batch dimension, which every model has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

DataType = Literal["BYTES", "FP32", "INT32", "INT64", "UINT8"]
Kind = Literal["onnx", "python", "ensemble"]
Dimension = int | str

IMAGE_SIZE = 224
MEL_FRAMES = 1001
MEL_BINS = 64
DEFAULT_TOP_K = 10
# Items in one request that every server of ours takes; what a client sends where the server does not tell its own limit
# (the gateway: the Open Inference Protocol has no call for it).
MAX_BATCH = 16
GALLERY_DIGEST_BYTES = 32  # SHA-256
# Where a server says which model it serves: a parameter of this ensemble's configuration, JSON of the `ModelConfig`.
DESCRIBED_MODEL, DESCRIPTION_PARAMETER = "embed_pixels", "sat2sound_model"
# gRPC metadata that carries the key, where a server answers only to holders of it; Triton puts its own prefix before
# the name that --grpc-restricted-protocol gives.
INFERENCE_HEADER = "triton-grpc-protocol-sat2sound-inference"


@dataclass(frozen=True)
class Tensor:
    """One input or output.

    dims: without the batch dimension. optional: the request may leave it out. refused_if_missing: it may not, but it is
    the python step that says so (Triton alone would report a "deadlock" of the ensemble); Triton is told that the input
    is optional. Requests that lack it are batched apart, all others as ever.
    """

    name: str
    datatype: DataType
    dims: tuple[Dimension, ...] = (1,)
    optional: bool = False
    refused_if_missing: bool = False


@dataclass(frozen=True)
class Step:
    """One step of an ensemble. rename: the step's tensor name -> the ensemble's tensor name, where they differ."""

    model: str
    rename_inputs: Mapping[str, str] = field(default_factory=dict)
    rename_outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelContract:
    """One model in the repository. steps: only for ensembles, in the order of data flow."""

    name: str
    kind: Kind
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...] = ()

    @property
    def public(self) -> bool:
        """Whether clients call it: ensembles are the public surface, the composing models are internal."""
        return self.kind == "ensemble"

    def input(self, name: str) -> Tensor:
        """The input of that name; KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.inputs}[name]

    def output(self, name: str) -> Tensor:
        """The output of that name; KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.outputs}[name]


@dataclass(frozen=True)
class Dimensions:
    """What the symbols stand for in one built repository.

    embedding: length of an embedding. image_tokens: satellite tokens with metadata tokens. audio_tokens/audio_width,
    text_width: token count and width of those encoders. max_k: rows that `similarity` returns.
    """

    embedding: int
    image_tokens: int
    audio_tokens: int
    audio_width: int
    text_width: int
    max_k: int

    def resolve(self, tensor: Tensor) -> tuple[int, ...]:
        """The tensor's dims as numbers, -1 where they vary."""
        return tuple(getattr(self, dim) if isinstance(dim, str) else dim for dim in tensor.dims)


# --- tensors that several models share ------------------------------------------------------------------------------
EMBEDDING = Tensor("EMBEDDING", "FP32", ("embedding",))
IMAGE = Tensor("IMAGE", "BYTES", refused_if_missing=True)
AUDIO = Tensor("AUDIO", "BYTES", refused_if_missing=True)
TEXT = Tensor("TEXT", "BYTES")
TOP_K = Tensor("TOP_K", "INT32", optional=True)
QUERIES = Tensor("QUERIES", "FP32", (-1, "embedding"))
PIXELS = Tensor("PIXELS", "UINT8", (IMAGE_SIZE, IMAGE_SIZE, 3))
LOG_MEL = Tensor("LOG_MEL", "FP32", (1, MEL_FRAMES, MEL_BINS))
INPUT_IDS = Tensor("INPUT_IDS", "INT64", (-1,))
ATTENTION_MASK = Tensor("ATTENTION_MASK", "INT64", (-1,))
IMAGE_TOKENS = Tensor("TOKENS", "FP32", ("image_tokens", "embedding"))
AUDIO_TOKENS = Tensor("TOKENS", "FP32", ("audio_tokens", "audio_width"))
TEXT_TOKENS = Tensor("TOKENS", "FP32", (-1, "text_width"))

# What a person may say about an image. Left out or "missing" (MONTH, HOUR -1; both coordinates NaN) means unknown.
IMAGE_OPTIONS = (
    Tensor("SATELLITE", "BYTES", optional=True),
    Tensor("ZOOM_LEVEL", "INT32", optional=True),
    Tensor("GSD", "FP32", optional=True),
    Tensor("LATITUDE", "FP32", optional=True),
    Tensor("LONGITUDE", "FP32", optional=True),
    Tensor("MONTH", "INT32", optional=True),
    Tensor("HOUR", "INT32", optional=True),
    Tensor("AUDIO_SOURCE", "BYTES", optional=True),
    Tensor("CAPTION_SOURCE", "BYTES", optional=True),
)
# The same after preparation, as the encoder takes it: all present, NaN = missing, sources by id.
CONDITIONS = tuple(
    Tensor(name, "FP32") for name in ("GSD", "LATITUDE", "LONGITUDE", "MONTH", "HOUR", "AUDIO_SOURCE", "CAPTION_SOURCE")
)
RANKING = (
    Tensor("SCORES", "FP32", (-1,)),
    Tensor("IDS", "BYTES", (-1,)),
    Tensor("CAPTIONS", "BYTES", (-1,)),
    Tensor("SOUNDS", "BYTES", (-1,)),
)
ROWS = (
    Tensor("ROW_SCORES", "FP32", ("max_k",)),
    Tensor("ROWS", "INT64", ("max_k",)),
    Tensor("GALLERY_DIGEST", "UINT8", (GALLERY_DIGEST_BYTES,)),
)
QUERY_SCORES = Tensor("SCORES", "FP32", (-1,))
UNCHECKED_SCORES = Tensor("UNCHECKED_SCORES", "FP32", (-1,))

# --- composing models -----------------------------------------------------------------------------------------------
_COMPOSING = (
    ModelContract("satellite_preprocess", "python", (IMAGE, *IMAGE_OPTIONS), (PIXELS, *CONDITIONS)),
    ModelContract("satellite_encoder", "onnx", (PIXELS, *CONDITIONS), (IMAGE_TOKENS,)),
    ModelContract("satellite_pooling", "onnx", (IMAGE_TOKENS,), (EMBEDDING,)),
    ModelContract("audio_preprocess", "python", (AUDIO, Tensor("OFFSET_SECONDS", "FP32", optional=True)), (LOG_MEL,)),
    ModelContract("audio_encoder", "onnx", (LOG_MEL,), (AUDIO_TOKENS,)),
    ModelContract("audio_pooling", "onnx", (AUDIO_TOKENS,), (EMBEDDING,)),
    ModelContract("text_preprocess", "python", (TEXT,), (INPUT_IDS, ATTENTION_MASK)),
    ModelContract("text_encoder", "onnx", (INPUT_IDS, ATTENTION_MASK), (TEXT_TOKENS,)),
    ModelContract("text_pooling", "onnx", (TEXT_TOKENS, ATTENTION_MASK), (EMBEDDING,)),
    ModelContract("similarity", "onnx", (EMBEDDING,), ROWS),
    ModelContract("gallery", "python", (*ROWS, TOP_K), RANKING),
    ModelContract("query_scores", "onnx", (EMBEDDING, QUERIES), (QUERY_SCORES,)),
    ModelContract("score_check", "python", (UNCHECKED_SCORES,), (QUERY_SCORES,)),
)

# GSD and the metadata have one name on the wire and the same name at the encoder, but other values in between.
_PREPARED = {tensor.name: f"prepared_{tensor.name.lower()}" for tensor in CONDITIONS}
_SATELLITE_STEPS = (
    Step("satellite_preprocess", rename_outputs=_PREPARED),
    Step("satellite_encoder", rename_inputs=_PREPARED),
    Step("satellite_pooling"),
)
_RANKING_STEPS = (Step("similarity"), Step("gallery"))

# --- ensembles: the public surface ----------------------------------------------------------------------------------
_ENSEMBLES = (
    ModelContract("embed_satellite", "ensemble", (IMAGE, *IMAGE_OPTIONS), (EMBEDDING,), _SATELLITE_STEPS),
    ModelContract(
        "embed_pixels",
        "ensemble",
        (PIXELS, *CONDITIONS),
        (EMBEDDING,),
        (Step("satellite_encoder"), Step("satellite_pooling")),
    ),
    ModelContract(
        "embed_audio",
        "ensemble",
        (AUDIO, Tensor("OFFSET_SECONDS", "FP32", optional=True)),
        (EMBEDDING,),
        (Step("audio_preprocess"), Step("audio_encoder"), Step("audio_pooling")),
    ),
    ModelContract(
        "embed_text",
        "ensemble",
        (TEXT,),
        (EMBEDDING,),
        (Step("text_preprocess"), Step("text_encoder"), Step("text_pooling")),
    ),
    ModelContract(
        "retrieve_sounds",
        "ensemble",
        (IMAGE, *IMAGE_OPTIONS, TOP_K),
        RANKING,
        (*_SATELLITE_STEPS, *_RANKING_STEPS),
    ),
    ModelContract("search_gallery", "ensemble", (EMBEDDING, TOP_K), RANKING, _RANKING_STEPS),
    ModelContract(
        "score_queries",
        "ensemble",
        # Triton counts inputs: were IMAGE optional here too, one without QUERIES would pass for a complete request.
        (replace(IMAGE, refused_if_missing=False), *IMAGE_OPTIONS, QUERIES),
        (QUERY_SCORES,),
        (
            *_SATELLITE_STEPS,
            Step("query_scores", rename_outputs={QUERY_SCORES.name: UNCHECKED_SCORES.name}),
            Step("score_check"),
        ),
    ),
)

MODELS: dict[str, ModelContract] = {model.name: model for model in (*_COMPOSING, *_ENSEMBLES)}


def ensembles() -> Iterator[ModelContract]:
    """The public models, in a fixed order."""
    return (model for model in MODELS.values() if model.kind == "ensemble")


def composing_models() -> Iterator[ModelContract]:
    """The internal models, in the order of data flow."""
    return (model for model in MODELS.values() if model.kind != "ensemble")
