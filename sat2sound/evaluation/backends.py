"""What evaluation embeds with: the library or a running server, behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sat2sound.evaluation.ranks import Embeddings
from sat2sound.preprocessing.metadata import Metadata


@dataclass(frozen=True)
class Embedded:
    """embeddings: float32 [n, D], rows of NaN where an item was refused; refused: index -> what was wrong with it."""

    embeddings: Embeddings
    refused: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageSettings:
    """How all images are cut; None is what the dataset says, else the model's own satellite type, and zoom level 1."""

    satellite: str | None = None
    zoom_level: int | None = None


class Backend(Protocol):
    """Embeds lists of at least one item. An item that cannot be used never harms the others."""

    def describe(self) -> dict[str, str]:
        """What is evaluated, for the report: model, or server and its version."""

    def images(self, files: Sequence[bytes], metadata: Sequence[Metadata], satellite: str | None = None) -> Embedded:
        """Encoded images. satellite: their type, if the dataset says so; settings come first."""

    def recordings(self, files: Sequence[bytes]) -> Embedded:
        """Encoded recordings, their first ten seconds."""

    def texts(self, texts: Sequence[str]) -> Embedded:
        """Texts."""
