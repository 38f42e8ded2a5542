"""From files and words to embeddings, concepts and heatmaps: the library's convenient side, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sat2sound.models.codebook import unit_length
from sat2sound.models.text_encoder import text_tokenizer
from sat2sound.preprocessing import Limits, Metadata, SatelliteRequest, TextTokenizer, prepare_audio, prepare_satellite

if TYPE_CHECKING:
    from sat2sound.models.sat2sound import Sat2Sound

File = bytes | str | Path


@dataclass(frozen=True)
class Concepts:
    """The concepts that an embedding is a mix of. indices: int64 [n]; weights: float32 [n], descending, sum 1."""

    indices: Tensor
    weights: Tensor


class Embedder:
    """Prepares inputs as the server does and runs the model in inference mode.

    model: in eval mode. limits: bounds on the inputs. batch: items per forward pass. concepts_per_chunk: bounds the
    memory of codebook pooling (4 bytes x batch x tokens x this); None computes all at once. Results do not depend on
    which inputs share a batch. Every method raises InvalidInput for inputs that cannot be used.
    """

    def __init__(
        self, model: Sat2Sound, limits: Limits | None = None, batch: int = 16, concepts_per_chunk: int | None = 2048
    ) -> None:
        if model.training:
            raise ValueError("the model is in training mode; call eval() first")
        self.model, self.batch, self.chunk = model, batch, concepts_per_chunk
        self.limits = limits or Limits()

    @property
    def tokenizer(self) -> TextTokenizer:
        """The tokenizer that belongs to the model's text encoder."""
        return text_tokenizer(self.model.config.text)

    # --- tokens and queries -----------------------------------------------------------------------------------------
    def _satellite_queries(
        self, images: Sequence[File], satellite: str | None, zoom_level: int | None, metadata: Sequence[Metadata]
    ) -> Tensor:
        prepared = [
            prepare_satellite(
                SatelliteRequest(_read(image), satellite, zoom_level, **vars(known)), self.model.config, self.limits
            )
            for image, known in zip(images, metadata, strict=True)
        ]
        pixels = torch.from_numpy(np.stack([pixels for pixels, _ in prepared]))
        conditions = torch.from_numpy(np.stack([known.as_array() for _, known in prepared]))
        queries: Tensor = self.model.satellite_query(self.model.encode_satellite(pixels, conditions))
        return queries

    def _audio_queries(self, recordings: Sequence[File], offset_seconds: float) -> Tensor:
        mels = [prepare_audio(_read(recording), self.limits, offset_seconds) for recording in recordings]
        queries: Tensor = self.model.audio_query(self.model.encode_audio(torch.from_numpy(np.stack(mels))))
        return queries

    def _text_queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        ids, mask = (torch.from_numpy(array) for array in self.tokenizer.encode(texts, self.limits))
        return self.model.text_query(self.model.encode_text(ids, mask)), mask

    # --- embeddings -------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def embed_satellite(
        self,
        images: Sequence[File],
        *,
        satellite: str | None = None,
        zoom_level: int | None = None,
        metadata: Metadata | Sequence[Metadata] | None = None,
        unit: bool = True,
    ) -> Tensor:
        """Embeddings float32 [B, embedding] of encoded images (bytes or paths).

        satellite: default is the model's own type. metadata: one for all or one per image. unit: False gives the raw
        mix.
        """
        known = [metadata or Metadata()] * len(images) if not isinstance(metadata, Sequence) else metadata
        parts = [
            self._satellite_queries(images[start:end], satellite, zoom_level, known[start:end])
            for start, end in self._ranges(len(images))
        ]
        return self._join([self.model.codebook(part, None, self.chunk) for part in parts], unit)

    @torch.no_grad()
    def embed_audio(self, recordings: Sequence[File], *, offset_seconds: float = 0.0, unit: bool = True) -> Tensor:
        """Embeddings float32 [B, embedding] of encoded recordings: ten seconds from the offset on."""
        parts = [
            self._audio_queries(recordings[start:end], offset_seconds) for start, end in self._ranges(len(recordings))
        ]
        return self._join([self.model.codebook(part, None, self.chunk) for part in parts], unit)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str], *, unit: bool = True, floor: bool = True) -> Tensor:
        """Embeddings float32 [B, embedding] of texts.

        floor: each text as if it had at least one padded position, as served and as nearly always seen in training;
        False: as if it had none (MODEL.md, text branch).
        """
        parts = [self._text_queries(texts[start:end]) for start, end in self._ranges(len(texts))]
        return self._join(
            [self.model.codebook(queries, mask, self.chunk, floor=floor) for queries, mask in parts], unit
        )

    def _ranges(self, count: int) -> list[tuple[int, int]]:
        return [(start, min(start + self.batch, count)) for start in range(0, count, self.batch)]

    def _join(self, parts: list[Tensor], unit: bool) -> Tensor:
        raw = torch.cat(parts) if parts else torch.zeros(0, self.model.config.embedding)
        return unit_length(raw) if unit else raw

    # --- looking inside ---------------------------------------------------------------------------------------------
    @torch.no_grad()
    def heatmap(
        self,
        image: File,
        text: str,
        words: str | Sequence[str],
        *,
        satellite: str | None = None,
        zoom_level: int | None = None,
        metadata: Metadata | None = None,
    ) -> Tensor:
        """Where in the image a word's concept is: undivided logits, float32 [grid, grid], or [words, grid, grid].

        The word's best concept is that of its strongest token within `text`; then that concept's logit at each patch.
        """
        several = [words] if isinstance(words, str) else list(words)
        (text_queries,), _ = self._text_queries([text])
        text_logits = self.model.codebook.token_logits(text_queries)
        image_queries = self._satellite_queries([image], satellite, zoom_level, [metadata or Metadata()])
        grid = self.model.config.satellite.grid
        patches = image_queries[0, : grid * grid]  # metadata tokens come after them
        maps = []
        for word in several:
            own = text_logits[self.tokenizer.token_positions(text, word)]
            concept = int(own.max(dim=0).values.argmax())
            maps.append((patches @ self.model.codebook.concepts[concept]).reshape(grid, grid))
        return maps[0] if isinstance(words, str) else torch.stack(maps)

    @torch.no_grad()
    def concepts(
        self,
        *,
        images: Sequence[File] | None = None,
        recordings: Sequence[File] | None = None,
        texts: Sequence[str] | None = None,
        floor: bool = True,
    ) -> list[Concepts]:
        """Which concepts each image, recording or text is a mix of. Raises ValueError unless one kind is given.

        floor: of texts, as in `embed_text`.
        """
        given = [inputs for inputs in (images, recordings, texts) if inputs is not None]
        if len(given) != 1:
            raise ValueError("give one of images, recordings and texts")
        found = []
        for start, end in self._ranges(len(given[0])):
            mask = None
            if images is not None:
                queries = self._satellite_queries(images[start:end], None, None, [Metadata()] * (end - start))
            elif recordings is not None:
                queries = self._audio_queries(recordings[start:end], 0.0)
            else:
                queries, mask = self._text_queries((texts or [])[start:end])
            for weights in self.model.codebook.weights(queries, mask, self.chunk, floor=floor):
                ordered, count = weights.sort(descending=True), int((weights > 0).sum())
                found.append(Concepts(ordered.indices[:count], ordered.values[:count]))
        return found


def _read(file: File) -> bytes:
    return file if isinstance(file, bytes) else Path(file).read_bytes()
