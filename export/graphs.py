"""The graphs that Triton serves, as torch modules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sat2sound.contract import ModelContract
from sat2sound.export.references import Arrays
from sat2sound.models import Sat2Sound


class SatelliteEncoder(nn.Module):
    """PIXELS and CONDITIONS -> TOKENS."""

    def __init__(self, model: Sat2Sound) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor, *conditions: Tensor) -> Tensor:
        """pixels: uint8 [B, 224, 224, 3]; conditions: seven float32 [B, 1] -> float32 [B, image_tokens, embedding]."""
        return self.model.encode_satellite(pixels, torch.cat(conditions, dim=1))


class SatellitePooling(nn.Module):
    """TOKENS -> EMBEDDING."""

    def __init__(self, model: Sat2Sound) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, image_tokens, embedding] -> float32 [B, embedding]."""
        return self.model.pool_satellite(tokens)


class AudioEncoder(nn.Module):
    """LOG_MEL -> TOKENS."""

    def __init__(self, model: Sat2Sound) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel: float32 [B, 1, 1001, 64] -> float32 [B, audio_tokens, audio width]."""
        return self.model.encode_audio(log_mel)


class AudioPooling(nn.Module):
    """TOKENS -> EMBEDDING."""

    def __init__(self, model: Sat2Sound) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: float32 [B, audio_tokens, audio width] -> float32 [B, embedding]."""
        return self.model.pool_audio(tokens)


class TextEncoder(nn.Module):
    """INPUT_IDS and ATTENTION_MASK -> TOKENS."""

    def __init__(self, model: Sat2Sound) -> None:
        super().__init__()
        self.text = model.text

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids, attention_mask: int64 [B, T] -> float32 [B, T, text width]."""
        states: Tensor = self.text(input_ids, attention_mask)
        return states


class TextPooling(nn.Module):
    """TOKENS and ATTENTION_MASK -> EMBEDDING."""

    def __init__(self, model: Sat2Sound) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """tokens: float32 [B, T, text width]; attention_mask: int64 [B, T] -> float32 [B, embedding]."""
        return self.model.pool_text(tokens, attention_mask)


class Similarity(nn.Module):
    """EMBEDDING -> the gallery rows nearest to it, with the digest of the gallery they index."""

    gallery: Tensor
    digest: Tensor

    def __init__(self, embeddings: np.ndarray, digest: bytes, max_k: int) -> None:
        super().__init__()
        self.max_k = max_k
        self.register_buffer("gallery", torch.from_numpy(np.ascontiguousarray(embeddings.T, dtype=np.float32)))
        # As numbers until the end: TensorRT has unsigned bytes at inputs and outputs only.
        self.register_buffer("digest", torch.frombuffer(bytearray(digest), dtype=torch.uint8).float())

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """embedding: float32 [B, embedding] -> scores float32 [B, k], rows int64 [B, k], digest uint8 [B, 32].

        Scores are cosines, descending; the query is brought to unit length here, since clients may send any vector. A
        vector without direction scores NaN, which the gallery step refuses.
        """
        scores, rows = torch.topk(_direction(embedding) @ self.gallery, self.max_k, dim=-1)
        return scores, rows, self.digest[None].expand(embedding.shape[0], -1).to(torch.uint8)


class QueryScores(nn.Module):
    """EMBEDDING and QUERIES -> one cosine per query."""

    def forward(self, embedding: Tensor, queries: Tensor) -> Tensor:
        """embedding: float32 [B, embedding]; queries: float32 [B, n, embedding] -> float32 [B, n].

        NaN for a query without direction, which the next step refuses.
        """
        return (_direction(queries) @ _direction(embedding)[:, :, None]).squeeze(-1)


def _direction(vectors: Tensor) -> Tensor:
    """Unit vectors float32 [..., D]; NaN for zero vectors and those with NaN or infinite entries.

    Divided by the largest entry first: the squares of large entries would overflow, those of small ones vanish.
    """
    scaled = vectors / vectors.abs().amax(dim=-1, keepdim=True)
    return scaled / scaled.square().sum(dim=-1, keepdim=True).sqrt()


@dataclass(frozen=True)
class Graph:
    """One graph to export. example: two items or more, so that the exporter does not take the batch for a constant."""

    contract: ModelContract
    module: nn.Module
    example: Arrays

    @property
    def name(self) -> str:
        """The model's name in the repository."""
        return self.contract.name

    def compute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """What torch computes, by output name."""
        with torch.inference_mode():
            result = self.module(*(torch.from_numpy(inputs[tensor.name]) for tensor in self.contract.inputs))
        outputs = result if isinstance(result, tuple) else (result,)
        return {
            tensor.name: np.ascontiguousarray(output.numpy())
            for tensor, output in zip(self.contract.outputs, outputs, strict=True)
        }


# Which parts of the model each graph computes with: what decides whether a graph built earlier is still good.
PARTS = {
    "satellite_encoder": ("satellite", "projector", "metadata"),
    "satellite_pooling": ("satellite_query", "codebook"),
    "audio_encoder": ("audio",),
    "audio_pooling": ("audio_query", "codebook"),
    "text_encoder": ("text",),
    "text_pooling": ("text_query", "codebook"),
}


def branch_modules(model: Sat2Sound) -> dict[str, nn.Module]:
    """Encoders and poolings by graph name."""
    modules: dict[str, nn.Module] = {
        "satellite_encoder": SatelliteEncoder(model),
        "satellite_pooling": SatellitePooling(model),
        "audio_encoder": AudioEncoder(model),
        "audio_pooling": AudioPooling(model),
        "text_encoder": TextEncoder(model),
        "text_pooling": TextPooling(model),
    }
    return {name: module.eval() for name, module in modules.items()}


def ranking_modules(embeddings: np.ndarray, digest: bytes, max_k: int) -> dict[str, nn.Module]:
    """similarity and query_scores. embeddings: float32 [n, D], unit length; max_k: rows returned, at most n."""
    return {"similarity": Similarity(embeddings, digest, max_k).eval(), "query_scores": QueryScores().eval()}
