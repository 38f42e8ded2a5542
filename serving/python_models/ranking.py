"""The checks of the steps that hand out scores: how many rows, and vectors that have a direction."""

from __future__ import annotations

import numpy as np

from sat2sound.contract import DEFAULT_TOP_K
from sat2sound.errors import InvalidInput
from sat2sound.serving.python_models.items import each_item


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


def check_scores(scores: np.ndarray, vectors: str) -> np.ndarray:
    """scores: float32 [B, n]. Returns them; raises InvalidItems for items whose scores are not finite.

    The graphs give NaN where a vector has no direction. vectors: the input that it came from, for the message.
    """

    def check(index: int) -> None:
        bad = np.flatnonzero(~np.isfinite(scores[index]))
        if len(bad):
            # every score of the ranking is NaN if its one vector is bad, but only those of bad queries
            which = vectors if len(bad) == scores.shape[1] else f"{vectors} at position {', '.join(map(str, bad[:5]))}"
            raise InvalidInput(
                f"{which} cannot be compared: all zeros, or with NaN or infinite entries",
                expected="finite numbers that are not all zero",
                fix="send embeddings as embed_satellite, embed_audio or embed_text answer them",
            )

    each_item(len(scores), check)
    return scores
