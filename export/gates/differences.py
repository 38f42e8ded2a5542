"""How far two arrays are apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
_ALIKE = 1e-3  # spread over magnitude below which a centred comparison would compare rounding errors


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference over the largest magnitude of `expected`.

    NaN agrees with NaN; infinite if only one of the two is NaN somewhere, or if `found` is infinite.
    """
    one, other = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if (np.isnan(one) != np.isnan(other)).any() or np.isinf(one).any():
        return float("inf")
    one, other = np.nan_to_num(one), np.nan_to_num(other)
    return float(np.abs(one - other).max()) / max(1e-12, float(np.abs(other).max()))


def _rows(array: np.ndarray) -> Numbers:
    """One row per item, NaN as 0: where NaN agrees has been compared before."""
    return np.nan_to_num(np.asarray(array, np.float64).reshape(len(array), -1))


def item_cosines(found: np.ndarray, expected: np.ndarray) -> Numbers:
    """Cosine of each item with its counterpart, all its numbers as one vector: float64 [B]. Zero vectors agree."""
    one, other = (_rows(array) for array in (found, expected))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    both_zero = (np.abs(one).max(axis=1) == 0) & (np.abs(other).max(axis=1) == 0)
    return np.where(both_zero, 1.0, (one * other).sum(axis=1) / np.maximum(lengths, 1e-30))


def centred_cosine(found: np.ndarray, expected: np.ndarray) -> float | None:
    """Cosine of all items together after subtracting the mean item of `expected`; None if the items are all alike.

    Embeddings that hardly differ have cosines near 1 whatever a graph does; what is left here is what tells them
    apart.
    """
    one, other = (_rows(array) for array in (found, expected))
    mean = other.mean(axis=0)
    spread = float(np.abs(other - mean).max())
    if len(other) < 2 or spread < _ALIKE * max(1e-12, float(np.abs(other).max())):
        return None
    return float(item_cosines((one - mean).reshape(1, -1), (other - mean).reshape(1, -1))[0])
