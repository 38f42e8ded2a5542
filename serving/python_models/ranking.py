"""The two checks of the gallery step: the right gallery, and how many rows were asked for."""

from __future__ import annotations

import numpy as np

from sat2sound.contract import DEFAULT_TOP_K
from sat2sound.errors import InvalidInput, Sat2SoundError


class GalleryMismatch(Sat2SoundError):
    """The rows index another gallery than the one whose captions are loaded."""


def check_digest(found: np.ndarray, expected: bytes) -> None:
    """found: uint8 [B, 32], of the gallery that `similarity` ranked. Raises GalleryMismatch."""
    for row in found:
        if row.tobytes() != expected:
            raise GalleryMismatch(
                f"similarity ranks gallery {row.tobytes().hex()[:12]}, captions are of {expected.hex()[:12]}; "
                "publish both version folders of a gallery before loading the ensembles"
            )


def top_k(asked: np.ndarray | None, available: int) -> int:
    """How many rows to return. asked: int32 [B, 1] or None for the default of 10. Raises InvalidInput."""
    if asked is None:
        return min(DEFAULT_TOP_K, available)
    values = sorted({int(value) for value in asked.reshape(-1)})
    if len(values) != 1:
        raise InvalidInput(
            f"TOP_K differs within one request: {values[:5]}", expected="one value", fix="send one request per TOP_K"
        )
    if not 1 <= values[0] <= available:
        raise InvalidInput(
            f"TOP_K is {values[0]}",
            expected=f"1 to {available} (the rows that this repository ranks)",
            fix="ask for fewer, or build the repository with a larger max_k",
        )
    return values[0]
