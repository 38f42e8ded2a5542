"""Batches that gates try each encoder with: ordinary ones of several sizes, and the extremes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sat2sound.configs import TextConfig
from sat2sound.contract import CONDITIONS, IMAGE_SIZE
from sat2sound.export.references import Arrays
from sat2sound.export.samples import conditions, pictures, recordings
from sat2sound.preprocessing import Limits, TextTokenizer
from sat2sound.preprocessing.audio import SAMPLES
from sat2sound.preprocessing.log_mel import log_mel
from sat2sound.preprocessing.metadata import GROUND_SAMPLE_DISTANCES

SEED = 20_261_123
PRIME = 5
QUERIES = 24
CALIBRATION_BATCHES, CALIBRATION_BATCH = 8, 4
_CALIBRATION_SEED = SEED + 1  # other pictures and sounds than the gates try

NamedBatch = tuple[str, Arrays]


def satellite_cases() -> Iterator[NamedBatch]:
    """Inputs of satellite_encoder."""
    random = np.random.default_rng(SEED)
    yield "one picture", _satellite(1, random)
    yield "pictures", _satellite(PRIME, random)
    yield "extreme pictures", _extreme_pictures(random)


def _satellite(count: int, random: np.random.Generator) -> Arrays:
    return {"PIXELS": pictures(count, random), **conditions(count, random)}


def _extreme_pictures(random: np.random.Generator) -> Arrays:
    """Black, white, grey, a checkerboard, noise, and a picture; conditions missing, at both ends, out of range."""
    side = (IMAGE_SIZE, IMAGE_SIZE, 3)
    checks = (np.indices(side[:2]).sum(axis=0) % 2 * 255)[..., None] * np.ones(3)
    noise = random.integers(0, 256, side)
    drawn = [np.zeros(side), np.full(side, 255), np.full(side, 128), checks, noise, pictures(1, random)[0]]
    low, high = GROUND_SAMPLE_DISTANCES
    columns = {
        "GSD": [low, high, 0.6, np.nan, 1e9, 0.2],
        "LATITUDE": [np.nan, 90, -90, 0, 1e4, 45],
        "LONGITUDE": [np.nan, 180, -180, 0, 1e4, np.nan],
        "MONTH": [np.nan, 12, 1, np.nan, 13, 7],
        "HOUR": [np.nan, 23, 0, 12, -1, 7],
        "AUDIO_SOURCE": [np.nan, 3, 0, np.nan, 99, 2],
        "CAPTION_SOURCE": [np.nan, 2, 0, 1, -5, 2],
    }
    known = {tensor.name: np.array(columns[tensor.name], np.float32)[:, None] for tensor in CONDITIONS}
    return {"PIXELS": np.stack(drawn).astype(np.uint8), **known}


def audio_cases() -> Iterator[NamedBatch]:
    """Inputs of audio_encoder."""
    random = np.random.default_rng(SEED)
    yield "one recording", _log_mels(recordings(1, random))
    yield "recordings", _log_mels(recordings(PRIME, random))
    click = np.zeros(SAMPLES, np.float32)
    click[SAMPLES // 2] = 1.0
    loud = np.clip(random.normal(0, 3, SAMPLES), -1, 1).astype(np.float32)
    yield "silence, loud noise, a click", _log_mels(np.stack([np.zeros(SAMPLES, np.float32), loud, click]))


def _log_mels(waveforms: np.ndarray) -> Arrays:
    return {"LOG_MEL": np.stack([log_mel(waveform) for waveform in waveforms])}


def text_cases(config: TextConfig, tokenizer: TextTokenizer, captions: Sequence[str]) -> Iterator[NamedBatch]:
    """Inputs of text_encoder. captions: real ones, of any number."""
    yield "one caption", _texts(tokenizer, captions[:1])
    yield "captions", _texts(tokenizer, [captions[at % len(captions)] for at in range(PRIME)])
    yield "one word and the longest text", _texts(tokenizer, ["rain", "waves and birds " * config.max_tokens])
    one = _texts(tokenizer, ["rain", captions[0]])
    mask = np.zeros_like(one["ATTENTION_MASK"])
    mask[:, 0] = 1
    yield "a single token", {**one, "ATTENTION_MASK": mask}


def _texts(tokenizer: TextTokenizer, texts: Sequence[str]) -> Arrays:
    ids, mask = tokenizer.encode(texts, Limits(max_text_characters=1 << 30))
    return {"INPUT_IDS": ids, "ATTENTION_MASK": mask}


def query_cases(tokenizer: TextTokenizer, captions: Sequence[str]) -> dict[str, Arrays]:
    """By branch: what the retrieval gate ranks a gallery for."""
    random = np.random.default_rng(SEED + 2)
    return {
        "satellite": _satellite(QUERIES, random),
        "audio": _log_mels(recordings(QUERIES, random)),
        "text": _texts(tokenizer, [captions[at % len(captions)] for at in range(0, 7 * QUERIES, 7)]),
    }


def calibration_batches(graph: str) -> Iterator[Arrays]:
    """Inputs for the ranges of activations of satellite_encoder or audio_encoder. Raises KeyError for other graphs."""
    random = np.random.default_rng(_CALIBRATION_SEED)
    makers: dict[str, Callable[[], Arrays]] = {
        "satellite_encoder": lambda: _satellite(CALIBRATION_BATCH, random),
        "audio_encoder": lambda: _log_mels(recordings(CALIBRATION_BATCH, random)),
    }
    for _ in range(CALIBRATION_BATCHES):
        yield makers[graph]()


def ranking_cases(embeddings: np.ndarray) -> dict[str, list[NamedBatch]]:
    """Inputs of similarity and query_scores. embeddings: float32 [n, D], unit length, n >= 2."""
    random = np.random.default_rng(SEED)
    width = embeddings.shape[1]
    drawn = random.standard_normal((PRIME, width)).astype(np.float32)
    extreme = np.stack([embeddings[0], 1000 * embeddings[-1], -1e-3 * embeddings[0]]).astype(np.float32)
    queries = random.standard_normal((PRIME, 3, width)).astype(np.float32)
    queries[0, 0] = 0.0  # of no direction: NaN, which the next step refuses
    return {
        "similarity": [
            ("one embedding", {"EMBEDDING": drawn[:1]}),
            ("embeddings", {"EMBEDDING": drawn}),
            ("a gallery row, a long one, a short one", {"EMBEDDING": extreme}),
        ],
        "query_scores": [
            ("one query", {"EMBEDDING": drawn[:1], "QUERIES": queries[:1, :1]}),
            ("queries", {"EMBEDDING": drawn, "QUERIES": queries}),
        ],
    }
