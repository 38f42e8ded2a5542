"""A complete model repository with tiny graphs that keep the wire contract: what serving tests run a real server on.

The graphs do little, but what they do is known: `satellite_encoder` takes the mean colour, works longer the larger GSD
is (about GSD milliseconds, in a loop of matrix products), and fails for a LATITUDE above 90, which only `embed_pixels`
lets through to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from sat2sound.configs import load_config
from sat2sound.contract import MODELS, Dimensions, Tensor
from sat2sound.export.profiles import PROFILES, Profile
from sat2sound.export.repository import build_repository
from sat2sound.gallery import Gallery, GalleryEntry, make_gallery, write_gallery

CONFIG = load_config("starter")
ENTRIES = 12
WORDS = ("[PAD]", "[UNK]", "waves", "on", "a", "beach", "birds", "traffic")
_TYPES = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64, "UINT8": TensorProto.UINT8}
_random = np.random.default_rng(11)


def build_tiny_repository(folder: Path, profile: Profile = PROFILES["cpu"]) -> Path:
    """Write the repository to folder/repository, what it is made of beside it."""
    graphs = folder / "graphs"
    graphs.mkdir(parents=True)
    gallery = tiny_gallery()
    write_tiny_graphs(graphs, gallery)
    write_gallery(folder / "gallery.parquet", gallery)
    write_tokenizer(folder / "tokenizer.json")
    return build_repository(
        folder / "repository",
        graphs=graphs,
        config=CONFIG,
        gallery=folder / "gallery.parquet",
        tokenizer=folder / "tokenizer.json",
        profile=profile,
        max_k=ENTRIES,
        facts={},
    )


def tiny_gallery() -> Gallery:
    """Twelve captions with random unit embeddings."""
    embeddings = np.random.default_rng(5).standard_normal((ENTRIES, CONFIG.embedding))
    entries = [
        GalleryEntry(id=f"tiny-{row}", modality="text", caption=f"sound number {row}", sound="", licence="CC0-1.0")
        for row in range(ENTRIES)
    ]
    return make_gallery(entries, embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), CONFIG.name)


def write_tokenizer(path: Path) -> None:
    """A tokenizer of a few words."""
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(path))


def write_tiny_graphs(folder: Path, gallery: Gallery) -> None:
    """One <model>.onnx per ONNX model of the contract."""
    dimensions = CONFIG.dimensions(len(gallery.entries))
    width, audio, text = dimensions.embedding, dimensions.audio_width, dimensions.text_width
    node = helper.make_node
    unit = [node("LpNormalization", ["raw"], ["EMBEDDING"], axis=-1, p=2)]

    def save(name: str, nodes: Sequence[Any], **constants: Any) -> None:
        _save(folder / f"{name}.onnx", name, dimensions, nodes, constants)

    save(
        "satellite_encoder",
        [
            node("Cast", ["PIXELS"], ["pixels"], to=TensorProto.FLOAT),
            node("ReduceMean", ["pixels", "space"], ["colour"], keepdims=0),
            node("MatMul", ["colour", "weights"], ["row"]),
            node("Unsqueeze", ["row", "one"], ["token"]),
            node("IsNaN", ["LATITUDE"], ["unknown"]),
            node("Where", ["unknown", "zero", "LATITUDE"], ["known"]),
            node("Cast", ["known"], ["place"], to=TensorProto.INT64),
            node("Gather", ["places", "place"], ["nothing"]),  # fails beyond its 91 entries
            node("Unsqueeze", ["nothing", "one"], ["nothings"]),
            node("ReduceMax", ["GSD"], ["longest"], keepdims=0),
            node("Cast", ["longest"], ["turns"], to=TensorProto.INT64),
            node("Loop", ["turns", "", "matrix"], ["worked"], body=_loop_body()),
            node("ReduceMax", ["worked"], ["peak"], keepdims=0),
            node("Mul", ["peak", "zero"], ["none"]),
            node("Add", ["nothings", "none"], ["addend"]),
            node("Add", ["token", "addend"], ["sum"]),
            node("Mul", ["sum", "ones"], ["TOKENS"]),
        ],
        space=np.array([1, 2]),
        weights=_weights(3, width),
        one=np.array([1]),
        zero=np.float32(0),
        places=np.zeros(91, np.float32),
        matrix=np.eye(512, dtype=np.float32),
        ones=np.ones((1, dimensions.image_tokens, 1), np.float32),
    )
    save(
        "satellite_pooling",
        [node("ReduceMean", ["TOKENS", "axis"], ["raw"], keepdims=0), *unit],
        axis=np.array([1]),
    )
    save(
        "audio_encoder",
        [
            node("ReduceMean", ["LOG_MEL", "time"], ["bands"], keepdims=0),
            node("MatMul", ["bands", "weights"], ["row"]),
            node("Unsqueeze", ["row", "one"], ["token"]),
            node("Mul", ["token", "ones"], ["TOKENS"]),
        ],
        time=np.array([1, 2]),
        weights=_weights(64, audio),
        one=np.array([1]),
        ones=np.ones((1, dimensions.audio_tokens, 1), np.float32),
    )
    save(
        "audio_pooling",
        [
            node("ReduceMean", ["TOKENS", "axis"], ["mean"], keepdims=0),
            node("MatMul", ["mean", "weights"], ["raw"]),
            *unit,
        ],
        axis=np.array([1]),
        weights=_weights(audio, width),
    )
    save(
        "text_encoder",
        [
            node("Gather", ["table", "INPUT_IDS"], ["words"]),
            node("Cast", ["ATTENTION_MASK"], ["mask"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["mask", "last"], ["column"]),
            node("Mul", ["words", "column"], ["TOKENS"]),
        ],
        table=_weights(len(WORDS), text),
        last=np.array([-1]),
    )
    save(
        "text_pooling",
        [
            node("Cast", ["ATTENTION_MASK"], ["mask"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["mask", "last"], ["column"]),
            node("Mul", ["TOKENS", "column"], ["words"]),
            node("ReduceSum", ["words", "axis"], ["sum"], keepdims=0),
            node("MatMul", ["sum", "weights"], ["raw"]),
            *unit,
        ],
        axis=np.array([1]),
        last=np.array([-1]),
        weights=_weights(text, width),
    )
    save(
        "similarity",
        [
            node("MatMul", ["EMBEDDING", "gallery"], ["scores"]),
            node("TopK", ["scores", "k"], ["ROW_SCORES", "ROWS"], axis=-1),
            node("Shape", ["EMBEDDING"], ["batch"], end=1),
            node("Concat", ["batch", "length"], ["shape"], axis=0),
            node("Expand", ["digest", "shape"], ["GALLERY_DIGEST"]),
        ],
        gallery=np.ascontiguousarray(gallery.embeddings.T),
        k=np.array([dimensions.max_k]),
        digest=np.frombuffer(gallery.digest, np.uint8)[None],
        length=np.array([len(gallery.digest)]),
    )
    save(
        "query_scores",
        [
            node("Unsqueeze", ["EMBEDDING", "last"], ["column"]),
            node("MatMul", ["QUERIES", "column"], ["products"]),
            node("Squeeze", ["products", "last"], ["SCORES"]),
        ],
        last=np.array([-1]),
    )


def _loop_body() -> onnx.GraphProto:
    """One turn: a matrix product of 512 x 512."""
    value = helper.make_tensor_value_info
    return helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "state"], ["next"]),
            helper.make_node("Identity", ["go"], ["going"]),
        ],
        "turn",
        [
            value("turn", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("state", TensorProto.FLOAT, [512, 512]),
        ],
        [value("going", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, [512, 512])],
    )


def _weights(*shape: int) -> np.ndarray:
    return _random.standard_normal(shape).astype(np.float32)


def _save(path: Path, name: str, dimensions: Dimensions, nodes: Sequence[Any], constants: dict[str, Any]) -> None:
    contract = MODELS[name]
    graph = helper.make_graph(
        nodes,
        name,
        [_value(tensor, dimensions) for tensor in contract.inputs],
        [_value(tensor, dimensions) for tensor in contract.outputs],
        [numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _value(tensor: Tensor, dimensions: Dimensions) -> onnx.ValueInfoProto:
    sizes = [f"{tensor.name}_{axis}" if size == -1 else size for axis, size in enumerate(dimensions.resolve(tensor))]
    return helper.make_tensor_value_info(tensor.name, _TYPES[tensor.datatype], ["batch", *sizes])
