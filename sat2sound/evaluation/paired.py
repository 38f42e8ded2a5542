"""Retrieval among pairs, by the paper's protocols: image and audio with text added to neither, audio or query; image
and text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sat2sound.evaluation.embedding import EmbeddedSamples
from sat2sound.evaluation.metrics import Estimate, bootstrap, median_rank, recall_at, recall_at_ten_percent, with_text
from sat2sound.evaluation.ranks import Embeddings, true_match_ranks


@dataclass(frozen=True)
class Protocol:
    """query, gallery: part names. text: what the audio caption is added to: none, audio or query."""

    query: str
    gallery: str
    text: str = "none"

    @property
    def needs(self) -> tuple[str, ...]:
        """The parts that a sample must have to take part."""
        return (self.query, self.gallery, *(("audio_caption",) if self.text != "none" else ()))

    @property
    def text_with_query(self) -> bool:
        """Whether the text is added to the query: where audio is the query, "audio" and "query" are the same."""
        return self.text == "query" or (self.text == "audio" and self.query == "audio")


PROTOCOLS = (
    *(Protocol("image", "audio", text) for text in ("none", "audio", "query")),
    *(Protocol("audio", "image", text) for text in ("none", "audio", "query")),
    *(Protocol(*pair) for text in ("audio_caption", "image_caption") for pair in (("image", text), (text, "image"))),
)


@dataclass(frozen=True)
class Figures:
    """Each with its 95 % bootstrap interval over queries. Recalls are shares; ranks count from 1."""

    recall_at_10_percent: Estimate
    recall_at_1: Estimate
    recall_at_5: Estimate
    recall_at_10: Estimate
    median_rank: Estimate


@dataclass(frozen=True)
class PairedRetrieval:
    """One protocol's result. n: pairs, which is also the gallery's size. per_scene: of the queries of each scene."""

    protocol: Protocol
    n: int
    figures: Figures
    per_scene: dict[str, Figures]

    def to_json(self) -> dict[str, Any]:
        """{"query", "gallery", "text", "n", "recall_at_10_percent": {"value", "low", "high", "n"}, ..., "per_scene"}"""
        scenes = {scene: asdict(figures) for scene, figures in self.per_scene.items()}
        return {**asdict(self.protocol), "n": self.n, **asdict(self.figures), "per_scene": scenes}


def paired_retrieval(embedded: EmbeddedSamples, *, resamples: int = 1000) -> list[PairedRetrieval]:
    """Every protocol that at least two samples have the parts for; each among exactly those samples."""
    found = []
    for protocol in PROTOCOLS:
        chosen = embedded.known(*protocol.needs)
        if chosen.sum() >= 2:
            scenes = np.array([scene or "" for scene in embedded.scenes])[chosen]
            found.append(
                _evaluate(protocol, {name: embedded.parts[name][chosen] for name in protocol.needs}, scenes, resamples)
            )
    return found


def _evaluate(
    protocol: Protocol, parts: dict[str, Embeddings], scenes: npt.NDArray[np.str_], resamples: int
) -> PairedRetrieval:
    queries, gallery = parts[protocol.query], parts[protocol.gallery]
    if protocol.text != "none" and protocol.text_with_query:
        queries = with_text(queries, parts["audio_caption"])
    elif protocol.text != "none":
        gallery = with_text(gallery, parts["audio_caption"])
    ranks = true_match_ranks(queries, gallery)
    per_scene = {
        str(scene): _figures(ranks[scenes == scene], len(ranks), resamples) for scene in np.unique(scenes) if scene
    }
    return PairedRetrieval(protocol, len(ranks), _figures(ranks, len(ranks), resamples), per_scene)


def _figures(ranks: npt.NDArray[np.float64], gallery: int, resamples: int) -> Figures:
    def estimate(statistic: Callable[[npt.NDArray[np.float64]], float]) -> Estimate:
        return bootstrap(ranks, statistic, resamples=resamples)

    return Figures(
        recall_at_10_percent=estimate(lambda drawn: recall_at_ten_percent(drawn, gallery)),
        recall_at_1=estimate(lambda drawn: recall_at(drawn, 1)),
        recall_at_5=estimate(lambda drawn: recall_at(drawn, 5)),
        recall_at_10=estimate(lambda drawn: recall_at(drawn, 10)),
        median_rank=estimate(median_rank),
    )
