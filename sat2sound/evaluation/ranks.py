"""Ranks of the true matches, computed in blocks so that memory does not grow with the square of the gallery."""

from __future__ import annotations

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
    Raises ValueError if their shapes differ.
    """
    if queries.shape != gallery.shape:
        raise ValueError(f"queries are {queries.shape}, the gallery is {gallery.shape}; expected one match per query")
    unit_queries, unit_gallery = unit_rows(queries), unit_rows(gallery)
    ranks = np.empty(len(queries), dtype=np.float64)
    block = max(1, _BLOCK_BYTES // (4 * max(1, len(gallery))))
    for start in range(0, len(queries), block):
        scores = unit_queries[start : start + block] @ unit_gallery.T
        rows = np.arange(len(scores))
        true = scores[rows, start + rows][:, None]
        better = (scores > true).sum(axis=1)
        equal = (scores == true).sum(axis=1) - 1  # others that tie with it
        ranks[start : start + block] = 1 + better + equal / 2
    return ranks
