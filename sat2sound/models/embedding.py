"""From files and words to embeddings, concepts and heatmaps: the library's convenient side, without a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sat2sound.errors import InvalidInput
from sat2sound.models.codebook import unit_length
from sat2sound.models.text_encoder import text_tokenizer
from sat2sound.preprocessing import Limits, Metadata, SatelliteRequest, TextTokenizer, prepare_audio, prepare_satellite

if TYPE_CHECKING:
    from sat2sound.models.sat2sound import Sat2Sound

File = bytes | str | Path
_Batch = tuple[Tensor, Tensor | None]  # queries [B, T, embedding] and, of texts, the attention mask [B, T]


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

    # --- queries, batch by batch ------------------------------------------------------------------------------------
    def _satellite_batches(
        self,
        images: Sequence[File],
        satellite: str | None,
        zoom_level: int | None,
        metadata: Metadata | Sequence[Metadata] | None,
    ) -> Iterator[_Batch]:
        _check_list("images", images)
        known = list(metadata) if isinstance(metadata, Sequence) else [metadata or Metadata()] * len(images)
        if len(known) != len(images):
            raise InvalidInput(
                f"{len(images)} images came with {len(known)} metadata",
                expected="one Metadata for all, or one per image",
                fix="give as many as there are images; Metadata() says that nothing is known",
            )
        for chosen in self._slices(len(images)):
            prepared = [
                prepare_satellite(
                    SatelliteRequest(_read(image), satellite, zoom_level, **vars(own)), self.model.config, self.limits
                )
                for image, own in zip(images[chosen], known[chosen], strict=True)
            ]
            pixels = self._tensor(np.stack([pixels for pixels, _ in prepared]))
            conditions = self._tensor(np.stack([own.as_array() for _, own in prepared]))
            yield self.model.satellite_query(self.model.encode_satellite(pixels, conditions)), None

    def _audio_batches(self, recordings: Sequence[File], offset_seconds: float) -> Iterator[_Batch]:
        _check_list("recordings", recordings)
        for chosen in self._slices(len(recordings)):
            mels = [prepare_audio(_read(recording), self.limits, offset_seconds) for recording in recordings[chosen]]
            yield self.model.audio_query(self.model.encode_audio(self._tensor(np.stack(mels)))), None

    def _text_batches(self, texts: Sequence[str]) -> Iterator[_Batch]:
        _check_list("texts", texts)
        for chosen in self._slices(len(texts)):
            ids, mask = (self._tensor(array) for array in self.tokenizer.encode(texts[chosen], self.limits))
            yield self.model.text_query(self.model.encode_text(ids, mask)), mask

    def _slices(self, count: int) -> Iterator[slice]:
        return (slice(start, start + self.batch) for start in range(0, count, self.batch))

    def _tensor(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.model.device)

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
        """Embeddings float32 [B, embedding] of encoded images (bytes or paths), on the model's device.

        satellite: default is the model's own type. metadata: one for all or one per image. unit: False gives the raw
        mix.
        """
        return self._embed(self._satellite_batches(images, satellite, zoom_level, metadata), unit)

    @torch.no_grad()
    def embed_audio(self, recordings: Sequence[File], *, offset_seconds: float = 0.0, unit: bool = True) -> Tensor:
        """Embeddings float32 [B, embedding] of encoded recordings: ten seconds from the offset on."""
        return self._embed(self._audio_batches(recordings, offset_seconds), unit)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str], *, unit: bool = True, floor: bool = True) -> Tensor:
        """Embeddings float32 [B, embedding] of texts.

        floor: each text as if it had at least one padded position, as served and as nearly always seen in training;
        False: as if it had none (MODEL.md, text branch).
        """
        return self._embed(self._text_batches(texts), unit, floor)

    def _embed(self, batches: Iterator[_Batch], unit: bool, floor: bool = True) -> Tensor:
        parts = [self.model.codebook(queries, mask, self.chunk, floor=floor) for queries, mask in batches]
        raw = torch.cat(parts) if parts else torch.zeros(0, self.model.config.embedding, device=self.model.device)
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
        ((text_queries, _),) = self._text_batches([text])
        text_logits = self.model.codebook.token_logits(text_queries[0])
        ((image_queries, _),) = self._satellite_batches([image], satellite, zoom_level, metadata)
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
        satellite: str | None = None,
        zoom_level: int | None = None,
        metadata: Metadata | Sequence[Metadata] | None = None,
        offset_seconds: float = 0.0,
        floor: bool = True,
    ) -> list[Concepts]:
        """Which concepts each image, recording or text is a mix of. Raises ValueError unless one kind is given.

        satellite, zoom_level, metadata: of images; offset_seconds: of recordings; floor: of texts; as in `embed_...`.
        """
        if sum(inputs is not None for inputs in (images, recordings, texts)) != 1:
            raise ValueError("give one of images, recordings and texts")
        if images is not None:
            batches = self._satellite_batches(images, satellite, zoom_level, metadata)
        elif recordings is not None:
            batches = self._audio_batches(recordings, offset_seconds)
        else:
            batches = self._text_batches(texts or [])
        found = []
        for queries, mask in batches:
            for weights in self.model.codebook.weights(queries, mask, self.chunk, floor=floor):
                ordered, count = weights.sort(descending=True), int((weights > 0).sum())
                found.append(Concepts(ordered.indices[:count], ordered.values[:count]))
        return found


def _check_list(what: str, given: object) -> None:
    """A lone string is a sequence too: of letters, which is never meant."""
    if isinstance(given, (str, bytes, Path)):
        raise InvalidInput(
            f"{what} is one {type(given).__name__}", expected=f"a list of {what}", fix="put it in a list"
        )


def _read(file: File) -> bytes:
    return file if isinstance(file, bytes) else Path(file).read_bytes()
