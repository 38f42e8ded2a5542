"""The graphs that Triton serves, as torch modules: what each takes, gives, and is tried with before it is accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sat2sound import contract
from sat2sound.contract import ModelContract
from sat2sound.models import Sat2Sound

Arrays = dict[str, np.ndarray]


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
        self.register_buffer("digest", torch.frombuffer(bytearray(digest), dtype=torch.uint8))

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """embedding: float32 [B, embedding] -> scores float32 [B, k], rows int64 [B, k], digest uint8 [B, 32].

        Scores are cosines, descending; the query is brought to unit length here, since clients may send any vector. A
        vector without direction scores NaN, which the gallery step refuses.
        """
        scores, rows = torch.topk(_direction(embedding) @ self.gallery, self.max_k, dim=-1)
        return scores, rows, self.digest[None].expand(embedding.shape[0], -1)


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
    """One graph to export: its contract, the torch module, example inputs by batch size, and the allowed difference.

    examples: batch size, random generator -> inputs by name. tolerance: on values, absolute plus relative to the
    largest magnitude of the torch output.
    """

    contract: ModelContract
    module: nn.Module
    examples: Callable[[int, np.random.Generator], Arrays]
    tolerance: float

    @property
    def name(self) -> str:
        """The model's name in the repository."""
        return self.contract.name


def _pixels(batch: int, random: np.random.Generator) -> Arrays:
    pixels = random.integers(0, 256, (batch, contract.IMAGE_SIZE, contract.IMAGE_SIZE, 3), dtype=np.uint8)
    pixels[0] = 255 * (batch % 2)  # a constant image, the hardest case for normalisation layers
    values: Arrays = {"PIXELS": pixels}
    ranges = {"GSD": (0.2, 10), "LATITUDE": (-90, 90), "LONGITUDE": (-180, 180), "MONTH": (1, 12), "HOUR": (0, 23)}
    ranges |= {"AUDIO_SOURCE": (0, 3), "CAPTION_SOURCE": (0, 2)}
    for name, (low, high) in ranges.items():
        column = random.uniform(low, high, (batch, 1)).astype(np.float32)
        if name not in ("GSD", "LATITUDE", "LONGITUDE"):
            column = np.round(column)
        column[random.uniform(size=(batch, 1)) < 0.3] = np.nan
        column[random.uniform(size=(batch, 1)) < 0.1] = 1e4  # out of every range: counts as missing
        values[name] = column
    return values


def _normal(name: str, *shape: int) -> Callable[[int, np.random.Generator], Arrays]:
    return lambda batch, random: {name: random.standard_normal((batch, *shape)).astype(np.float32)}


def _log_mel(batch: int, random: np.random.Generator) -> Arrays:
    mel = random.normal(-30.0, 15.0, (batch, 1, contract.MEL_FRAMES, contract.MEL_BINS)).astype(np.float32)
    mel[-1] = -100.0  # silence
    return {"LOG_MEL": mel}


def _token_lengths(batch: int, length: int) -> np.ndarray:
    """Masks of every length from one token to all, so that padding is exercised."""
    lengths = np.linspace(1, length, batch).round().astype(int)
    return (np.arange(length)[None] < lengths[:, None]).astype(np.int64)


def graphs(model: Sat2Sound, gallery_embeddings: np.ndarray, gallery_digest: bytes, max_k: int) -> list[Graph]:
    """All graphs of one repository, in the order of data flow.

    gallery_embeddings: float32 [n, embedding], unit length; max_k: rows that similarity returns, at most n.
    """
    config = model.config
    vocabulary = 1000  # any ids that every tokenizer has

    def tokens(batch: int, random: np.random.Generator) -> Arrays:
        length = config.text.buckets[batch % len(config.text.buckets)]
        ids = random.integers(5, vocabulary, (batch, length), dtype=np.int64)
        return {"INPUT_IDS": ids, "ATTENTION_MASK": _token_lengths(batch, length)}

    def text_states(batch: int, random: np.random.Generator) -> Arrays:
        length = config.text.buckets[batch % len(config.text.buckets)]
        states = random.standard_normal((batch, length, config.text.width)).astype(np.float32)
        return {"TOKENS": states, "ATTENTION_MASK": _token_lengths(batch, length)}

    def scored(batch: int, random: np.random.Generator) -> Arrays:
        query = random.standard_normal((batch, batch + 1, config.embedding)).astype(np.float32)
        return {"EMBEDDING": query[:, 0].copy(), "QUERIES": query}

    modules: dict[str, tuple[nn.Module, Callable[[int, np.random.Generator], Arrays], float]] = {
        "satellite_encoder": (SatelliteEncoder(model), _pixels, 1e-4),
        "satellite_pooling": (SatellitePooling(model), _normal("TOKENS", config.image_tokens, config.embedding), 1e-4),
        "audio_encoder": (AudioEncoder(model), _log_mel, 1e-4),
        "audio_pooling": (
            AudioPooling(model),
            _normal("TOKENS", config.audio.output_tokens, config.audio.output_width),
            1e-4,
        ),
        "text_encoder": (TextEncoder(model), tokens, 1e-4),
        "text_pooling": (TextPooling(model), text_states, 1e-4),
        "similarity": (
            Similarity(gallery_embeddings, gallery_digest, max_k),
            _normal("EMBEDDING", config.embedding),
            1e-5,
        ),
        "query_scores": (QueryScores(), scored, 1e-5),
    }
    return [
        Graph(contract.MODELS[name], module.eval(), examples, tolerance)
        for name, (module, examples, tolerance) in modules.items()
    ]
