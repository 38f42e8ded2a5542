"""What a server answers to "which sounds fit": plain values, independent of the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the gateway uses this without Triton's client, which cannot live beside kserve in one process
    from sat2sound.clients.messages import Arrays


@dataclass(frozen=True)
class RankedSound:
    """One entry of the gallery. rank: from 1; score: cosine similarity, -1 to 1; sound: where to hear it, or ""."""

    rank: int
    score: float
    id: str
    caption: str
    sound: str


@dataclass(frozen=True)
class Ranking:
    """The best entries of the gallery for one image or embedding, best first."""

    sounds: tuple[RankedSound, ...]

    def __iter__(self) -> Iterator[RankedSound]:
        return iter(self.sounds)

    def __len__(self) -> int:
        return len(self.sounds)

    def __getitem__(self, index: int) -> RankedSound:
        return self.sounds[index]

    def to_json(self) -> list[dict[str, Any]]:
        """As plain values: rank, score, id, caption, sound."""
        return [asdict(sound) for sound in self.sounds]


def rankings(outputs: Arrays) -> list[Ranking]:
    """One ranking per item from SCORES float32 [B, k] and IDS, CAPTIONS, SOUNDS object [B, k]."""
    columns = (outputs["IDS"], outputs["CAPTIONS"], outputs["SOUNDS"])
    return [
        Ranking(
            tuple(
                RankedSound(rank, float(score), *(value.decode("utf-8") for value in entry))
                for rank, (score, *entry) in enumerate(zip(scores, *texts, strict=True), start=1)
            )
        )
        for scores, *texts in zip(outputs["SCORES"], *columns, strict=True)
    ]
