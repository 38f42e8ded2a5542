"""Ranks of the true matches, computed in blocks so that memory does not grow with the square of the gallery."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float32]
_BLOCK_BYTES = 128 * 1024 * 1024


def unit_rows(embeddings: Embeddings) -> Embeddings:
    """float32 [n, D] with rows of unit length; zero rows stay zero."""
    rows = np.asarray(embeddings, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Embeddings = rows / np.maximum(lengths, np.float32(1e-12))
    return unit


def true_match_ranks(queries: Embeddings, gallery: Embeddings) -> npt.NDArray[np.float64]:
    """Rank of gallery item i for query i, by cosine: float64 [n], 1 = best; ties share the average rank.

    queries, gallery: float32 [n, D]. Memory: about 0.3 GB beside the inputs and their unit copies, whatever n is.
    Raises ValueError if their shapes differ or a number is not finite: no comparison with NaN is true, so that such a
    row would rank best of all.
    """
    if queries.shape != gallery.shape:
        raise ValueError(f"queries are {queries.shape}, the gallery is {gallery.shape}; expected one match per query")
    _check_finite("queries", queries)
    _check_finite("the gallery", gallery)
    unit_queries, unit_gallery = unit_rows(queries), unit_rows(gallery)
    first, place = _distinct(unit_gallery)
    copies = np.bincount(place, minlength=len(first))
    distinct = unit_gallery if len(first) == len(unit_gallery) else unit_gallery[first]
    ranks = np.empty(len(queries), dtype=np.float64)
    block = max(1, _BLOCK_BYTES // (4 * max(1, len(gallery))))
    for start in range(0, len(queries), block):
        scores = unit_queries[start : start + block] @ distinct.T
        rows = np.arange(len(scores))
        true = scores[rows, place[start : start + block]][:, None]
        better = _count(scores > true, copies)
        equal = _count(scores == true, copies) - 1  # others that tie with it
        ranks[start : start + block] = 1 + better + equal / 2
    return ranks


def _count(which: npt.NDArray[np.bool_], copies: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """How many gallery items each row picks: bool [block, distinct] -> int64 [block]."""
    if which.shape[1] == copies.sum():
        return np.asarray(np.count_nonzero(which, axis=1))
    return np.array([copies[row].sum() for row in which], dtype=np.int64)


def _check_finite(what: str, embeddings: Embeddings) -> None:
    wrong = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"{what}: {len(wrong)} of {len(embeddings)} rows hold NaN or infinite numbers, first row {wrong[0]}; "
            "expected finite embeddings: find the input or the weights that make them"
        )


def _distinct(rows: Embeddings) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of the distinct rows, and for each row which of those it equals.

    Equal captions have equal embeddings and must tie, but BLAS rounds the products of equal columns differently when
    they fall into different parts of its blocks. So each distinct row is scored once.
    """
    seen: dict[bytes, int] = {}
    place = np.empty(len(rows), dtype=np.intp)
    first: list[int] = []
    for index, row in enumerate(rows):
        key = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        place[index] = seen.setdefault(key, len(seen))
        if len(seen) > len(first):
            first.append(index)
    return np.array(first, dtype=np.intp), place
