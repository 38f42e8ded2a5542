"""Unit embeddings as they are stored: float32, float16, or int8 with one float32 scale per cell."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from sat2sound.errors import InvalidInput

StoredType: TypeAlias = Literal["float32", "float16", "int8"]
STORED_TYPES: tuple[StoredType, ...] = get_args(StoredType)
_LARGEST = 127.0


def check_stored_type(name: str) -> StoredType:
    """The name as it is. Raises InvalidInput."""
    for known in STORED_TYPES:
        if name == known:
            return known
    raise InvalidInput(
        f"embeddings cannot be stored as {name[:40]!r}", expected=f"one of {', '.join(STORED_TYPES)}", fix="use int8"
    )


def encode(
    embeddings: npt.NDArray[np.float32], stored: StoredType
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]:
    """float32 [n, D] -> the stored values [n, D], and scales float32 [n] for int8 (embedding = value x scale)."""
    if stored != "int8":
        return embeddings.astype(stored), None
    largest = np.abs(embeddings).max(axis=1)
    scales = (np.where(largest > 0, largest, 1.0) / _LARGEST).astype(np.float32)
    return np.rint(embeddings / scales[:, None]).astype(np.int8), scales


def decode(values: npt.NDArray[Any], scales: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    """The inverse, for any leading dimensions: float32 [..., D]."""
    decoded = values.astype(np.float32)
    return decoded if scales is None else decoded * scales[..., None]
