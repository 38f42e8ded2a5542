"""Sat2Sound: the three encoders, the metadata fusion and the shared codebook, joined. One code path for all sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sat2sound.configs import ModelConfig, load_config
from sat2sound.models.audio_transformer import AudioTransformer
from sat2sound.models.codebook import Codebook, QueryMap, unit_length
from sat2sound.models.embedding import Concepts, Embedder, File
from sat2sound.models.metadata import MetadataFusion, column, usable_conditions
from sat2sound.models.text_encoder import TextEncoder
from sat2sound.models.vision_transformer import Projector, VisionTransformer, normalise_pixels
from sat2sound.preprocessing import IMAGENET_MEAN, IMAGENET_STD

LOGIT_SCALES = ("at", "it", "ia", "fdt", "i_at", "it_a")


class Sat2Sound(nn.Module):
    """Satellite images, sounds and text -> one embedding space.

    Each branch has two halves, which are also the graphs that Triton serves: `encode_*` gives tokens, `pool_*` gives
    the unit embedding. `raw_*` gives the embedding before it is brought to unit length (training sums those).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.satellite = VisionTransformer(config.satellite)
        self.projector = Projector(config.satellite.width, config.embedding)
        self.metadata = MetadataFusion(config.metadata, config.embedding) if config.metadata else None
        self.audio = AudioTransformer(config.audio)
        self.codebook = Codebook(config.codebook.size, config.embedding, config.codebook.temperature)
        self.satellite_query = QueryMap(config.embedding, config.embedding)
        self.audio_query = QueryMap(config.audio.output_width, config.embedding)
        self.text_query = QueryMap(config.text.width, config.embedding)
        self.logit_scales = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(math.log(1 / 0.07))) for name in LOGIT_SCALES}
        )
        self._text: list[TextEncoder] = []  # in a list, so that it is not part of the state_dict

    @classmethod
    def from_config(cls, config: ModelConfig | str) -> Sat2Sound:
        """A model with fresh weights. config: a configuration or its name."""
        return cls(load_config(config) if isinstance(config, str) else config)

    @classmethod
    def from_checkpoint(cls, path: str | Path, text_encoder: str | Path | None = None) -> Sat2Sound:
        """A trained model in eval mode: "starter", a .safetensors or .ckpt file, or `<hub repository>:<name>`.

        text_encoder: a local folder with the frozen text encoder (config.json, model.safetensors, tokenizer.json), for
        machines without the hub; default: what the configuration names, google/flan-t5-large for published models.
        Raises CheckpointError or TextEncoderError (see sat2sound.errors) naming the file, the problem and the fix.
        """
        from sat2sound.checkpoints import load_model

        return load_model(path, text_encoder)

    @property
    def text(self) -> TextEncoder:
        """The frozen text encoder, loaded on first use: image and audio work without its weights."""
        if not self._text:
            self._text.append(TextEncoder(self.config.text))
        return self._text[0].to(self.device)  # it does not follow `model.to(...)` by itself

    @property
    def device(self) -> torch.device:
        """Where the model's parameters are, and where its inputs must be."""
        return self.codebook.concepts.device

    # --- from files and words: `Embedder` has the details and more settings ------------------------------------------
    def embed_satellite(self, images: Sequence[File], **options: Any) -> Tensor:
        """Unit embeddings float32 [B, embedding] of encoded images; options as `Embedder.embed_satellite`."""
        return Embedder(self).embed_satellite(images, **options)

    def embed_audio(self, recordings: Sequence[File], **options: Any) -> Tensor:
        """Unit embeddings float32 [B, embedding] of encoded recordings; options as `Embedder.embed_audio`."""
        return Embedder(self).embed_audio(recordings, **options)

    def embed_text(self, texts: Sequence[str], **options: Any) -> Tensor:
        """Unit embeddings float32 [B, embedding] of texts; options as `Embedder.embed_text`."""
        return Embedder(self).embed_text(texts, **options)

    def heatmap(self, image: File, text: str, words: str | Sequence[str], **options: Any) -> Tensor:
        """Concept activation of words, float32 [grid, grid] or [words, grid, grid]; see `Embedder.heatmap`."""
        return Embedder(self).heatmap(image, text, words, **options)

    def concepts(self, **given: Any) -> list[Concepts]:
        """Which concepts images, recordings or texts are a mix of; see `Embedder.concepts`."""
        return Embedder(self).concepts(**given)

    # --- satellite --------------------------------------------------------------------------------------------------
    def encode_satellite(self, pixels: Tensor, conditions: Tensor) -> Tensor:
        """Tokens of satellite images.

        pixels: uint8 [B, S, S, 3] (S = 224 when served). conditions: float32 [B, 7] in contract.CONDITIONS order (gsd
        in metres per pixel, latitude and longitude in degrees, month 1..12, hour 0..23, source ids). NaN = missing,
        and so is what is out of its range: a graph cannot refuse it; without gsd, the satellite type's native one.
        Returns float32 [B, image_tokens, embedding].
        """
        return self.encode_normalised(normalise_pixels(pixels, IMAGENET_MEAN, IMAGENET_STD), conditions)

    def encode_normalised(self, pixels: Tensor, conditions: Tensor) -> Tensor:
        """As `encode_satellite`, from pixels that are already normalised: float32 [B, 3, S, S]."""
        conditions = usable_conditions(conditions, self.config.satellite_type.ground_sample_distance(1))
        tokens: Tensor = self.projector(self.satellite(pixels, column(conditions, "GSD")))
        if self.metadata is not None:
            tokens = self.metadata(tokens, conditions)
        return tokens

    def raw_satellite(self, tokens: Tensor, concepts_per_chunk: int | None = None) -> Tensor:
        """tokens: float32 [B, image_tokens, embedding] -> raw embedding float32 [B, embedding]."""
        raw: Tensor = self.codebook(self.satellite_query(tokens), None, concepts_per_chunk)
        return raw

    def pool_satellite(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, image_tokens, embedding] -> unit embedding float32 [B, embedding]."""
        return unit_length(self.raw_satellite(tokens))

    # --- audio ------------------------------------------------------------------------------------------------------
    def encode_audio(self, log_mel: Tensor) -> Tensor:
        """log_mel: float32 [B, 1, 1001, 64], 32 kHz, 10 s, dB -> tokens float32 [B, audio_tokens, audio width]."""
        tokens: Tensor = self.audio(log_mel)
        return tokens

    def raw_audio(self, tokens: Tensor, concepts_per_chunk: int | None = None) -> Tensor:
        """tokens: float32 [B, audio_tokens, audio width] -> raw embedding float32 [B, embedding]."""
        raw: Tensor = self.codebook(self.audio_query(tokens), None, concepts_per_chunk)
        return raw

    def pool_audio(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, audio_tokens, audio width] -> unit embedding float32 [B, embedding]."""
        return unit_length(self.raw_audio(tokens))

    # --- text -------------------------------------------------------------------------------------------------------
    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids, attention_mask: int64 [B, T] -> token states float32 [B, T, text width]."""
        states: Tensor = self.text(input_ids, attention_mask)
        return states

    def raw_text(
        self, tokens: Tensor, attention_mask: Tensor, concepts_per_chunk: int | None = None, *, floor: bool = True
    ) -> Tensor:
        """tokens: float32 [B, T, text width]; attention_mask: int64 [B, T] -> raw embedding float32 [B, embedding].

        floor: as if at least one padded position were present (MODEL.md, text branch), which is what is served; False:
        as if none were. A text's embedding does not depend on its batch neighbours in either case.
        """
        raw: Tensor = self.codebook(self.text_query(tokens), attention_mask, concepts_per_chunk, floor=floor)
        return raw

    def pool_text(self, tokens: Tensor, attention_mask: Tensor, *, floor: bool = True) -> Tensor:
        """tokens: float32 [B, T, text width]; attention_mask: int64 [B, T] -> unit embedding float32 [B, embedding].

        floor: as in `raw_text`.
        """
        return unit_length(self.raw_text(tokens, attention_mask, floor=floor))
