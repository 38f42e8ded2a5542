"""A model of the library as what is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from sat2sound.errors import InvalidInput
from sat2sound.evaluation.backends import Embedded, ImageSettings
from sat2sound.models import Embedder, Sat2Sound
from sat2sound.preprocessing import Metadata


class LibraryBackend:
    """model: in eval mode. name: how the report calls it."""

    def __init__(self, model: Sat2Sound, name: str, settings: ImageSettings | None = None) -> None:
        self.embedder, self.name, self.settings = Embedder(model), name, settings or ImageSettings()

    def describe(self) -> dict[str, str]:
        """The checkpoint that was asked for and the architecture in it."""
        return {"model": self.name, "architecture": self.embedder.model.config.name}

    def images(self, files: Sequence[bytes], metadata: Sequence[Metadata], satellite: str | None = None) -> Embedded:
        """See `Backend`."""

        def embed(chosen: Sequence[int]) -> torch.Tensor:
            return self.embedder.embed_satellite(
                [files[index] for index in chosen],
                satellite=self.settings.satellite or satellite,
                zoom_level=self.settings.zoom_level,
                metadata=[metadata[index] for index in chosen],
            )

        return self._embed(embed, len(files))

    def recordings(self, files: Sequence[bytes]) -> Embedded:
        """See `Backend`."""
        return self._embed(lambda chosen: self.embedder.embed_audio([files[index] for index in chosen]), len(files))

    def texts(self, texts: Sequence[str]) -> Embedded:
        """See `Backend`."""
        return self._embed(lambda chosen: self.embedder.embed_text([texts[index] for index in chosen]), len(texts))

    def _embed(self, embed: Callable[[Sequence[int]], torch.Tensor], count: int) -> Embedded:
        """All at once; only if an item is refused, one by one, to know which."""
        try:
            return Embedded(np.asarray(embed(range(count))))
        except InvalidInput:
            pass
        rows = np.full((count, self.embedder.model.config.embedding), np.nan, np.float32)
        refused = {}
        for index in range(count):
            try:
                rows[index] = embed([index])[0].numpy()
            except InvalidInput as error:
                refused[index] = str(error)
        return Embedded(rows, refused)
