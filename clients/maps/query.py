"""Ask a map: texts and recordings -> one score per cell, streamed over the map's shards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rioxarray  # noqa: F401 (gives datasets their `.rio`: CRS, clipping, reprojection)
import xarray as xr

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps.store import Status, open_map_store
from sat2sound.errors import InvalidInput

_ROWS = 1024  # cells that are turned into float32 at a time: 1 MB of 256 numbers, which stay in the cache


@dataclass(frozen=True)
class Query:
    """name: for people. kind: what it was. digest: SHA-256 of the text or the recording. embedding: unit [D]."""

    name: str
    kind: Literal["text", "audio"]
    digest: str
    embedding: npt.NDArray[np.float32]


def embed_queries(client: Sat2SoundClient, texts: Sequence[str], recordings: Sequence[Path]) -> list[Query]:
    """Embed texts, then recordings. Raises InvalidInput if there are none, ClientError."""
    if not texts and not recordings:
        raise InvalidInput("there is nothing to ask", expected="a text or a recording", fix="give --text or --audio")
    contents = [_read(path) for path in recordings]
    queries: list[Query] = []
    if texts:
        for text, embedding in zip(texts, client.embed_text(list(texts)), strict=True):
            queries.append(Query(text, "text", hashlib.sha256(text.encode()).hexdigest(), embedding))
    if recordings:
        for path, data, embedding in zip(recordings, contents, client.embed_audio(contents), strict=True):
            queries.append(Query(path.name, "audio", hashlib.sha256(data).hexdigest(), embedding))
    return [replace(query, name=name) for query, name in zip(queries, _unlike([q.name for q in queries]), strict=True)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"the recording {path} cannot be read: {error.strerror}",
            expected="a WAV, FLAC, Ogg or MP3 file",
            fix="check the path",
        ) from None


def _unlike(names: Sequence[str]) -> list[str]:
    """Names by which bands can be told apart: the second "gulls.wav" (of another folder) becomes "gulls.wav (2)"."""
    seen: dict[str, int] = {}
    different = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        different.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return different


def open_map(path: Path) -> xr.Dataset:
    """A map as a lazy Dataset, one Dask chunk per shard; nothing is read but metadata. Raises NotAMap.

    Variables: embedding [y, x, feature], status uint8 [y, x] (see `Status`), scale float32 [y, x] where embeddings are
    int8. Coordinates: x, y of the cells' centres in the CRS of `spatial_ref`.
    """
    store = open_map_store(path)
    side = store.shard_side
    dataset: xr.Dataset = xr.open_zarr(
        path,
        chunks={"y": side, "x": side, "feature": -1},
        consolidated=False,
        zarr_format=3,
        mask_and_scale=False,  # status 0 means pending, not missing
        decode_coords="all",
    )
    return dataset


def score_map(dataset: xr.Dataset, queries: Sequence[Query], *, softmax: float | None = None) -> xr.Dataset:
    """Cosine similarities: variable "score" float32 [query, y, x], NaN where a cell has no embedding.

    dataset: of `open_map`, or a part of it (`isel`, `sel`); lazy in, lazy out. softmax: temperature of a softmax over
    the queries, whose scores then sum to one per cell; None: none.
    """
    if softmax is not None and not softmax > 0:
        raise InvalidInput(f"the temperature is {softmax:g}", expected="above 0", fix="give e.g. 0.05")
    table = np.stack([query.embedding for query in queries]).astype(np.float32)
    if table.shape[1] != dataset.sizes["feature"]:
        raise InvalidInput(
            f"queries have {table.shape[1]} numbers, the map's embeddings {dataset.sizes['feature']}",
            expected="embeddings of one model",
            fix="embed the queries with the model that made the map",
        )
    names = ["embedding", "status", *(["scale"] if "scale" in dataset else [])]
    scores = xr.apply_ufunc(
        score_cells,
        *(dataset[name] for name in names),
        kwargs={"queries": table, "softmax": softmax},
        input_core_dims=[["feature"], *([[]] * (len(names) - 1))],
        output_core_dims=[["query"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"query": len(table)}},
    )
    scores = scores.transpose("query", "y", "x").assign_coords(query=[query.name for query in queries])
    scores.attrs = {"long_name": "probability" if softmax else "cosine similarity", "units": "1"}
    named: xr.Dataset = scores.to_dataset(name="score")
    return named


def score_cells(
    values: npt.NDArray[Any],
    status: npt.NDArray[np.uint8],
    scales: npt.NDArray[np.float32] | None = None,
    *,
    queries: npt.NDArray[np.float32],
    softmax: float | None = None,
) -> npt.NDArray[np.float32]:
    """Scores float32 [..., n] of stored values [..., D] and queries [n, D]; NaN where the status is not DONE."""
    flat = values.reshape(-1, values.shape[-1])
    scores = np.empty((len(flat), len(queries)), dtype=np.float32)
    columns = np.ascontiguousarray(queries.T)
    for start in range(0, len(flat), _ROWS):
        part = slice(start, start + _ROWS)
        np.matmul(flat[part].astype(np.float32), columns, out=scores[part])
    if scales is not None:
        scores *= scales.reshape(-1, 1)
    if softmax is not None:
        scores = np.exp((scores - scores.max(axis=1, keepdims=True)) / np.float32(softmax))
        scores /= scores.sum(axis=1, keepdims=True)
    scores[status.reshape(-1) != Status.DONE] = np.nan
    return scores.reshape(*values.shape[:-1], len(queries))
