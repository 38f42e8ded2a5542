"""The protocols among pairs, from embeddings whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import shared_folder

from sat2sound.evaluation.embedding import PARTS, EmbeddedSamples
from sat2sound.evaluation.paired import PairedRetrieval, paired_retrieval
from sat2sound.evaluation.ranks import Embeddings


def embedded(scenes: list[str | None] | None = None, **parts: Embeddings) -> EmbeddedSamples:
    count, width = next(iter(parts.values())).shape
    absent = np.full((count, width), np.nan, np.float32)
    return EmbeddedSamples(
        ids=[str(index) for index in range(count)],
        scenes=scenes or [None] * count,
        groups=[None] * count,
        parts={part: parts.get(part, absent) for part in PARTS},
    )


def by_protocol(found: list[PairedRetrieval]) -> dict[tuple[str, str, str], PairedRetrieval]:
    return {(each.protocol.query, each.protocol.gallery, each.protocol.text): each for each in found}


def test_published_numbers_exactly() -> None:
    expected = np.load(shared_folder("parity", "expected.npz"))
    image, sound, text = (expected[f"loss_{name}"] for name in ("satellite", "audio", "audio_caption"))
    found = by_protocol(paired_retrieval(embedded(image=image, audio=sound, audio_caption=text), resamples=10))
    for protocol, key in {
        ("image", "audio", "none"): "retrieval_i2s",
        ("audio", "image", "none"): "retrieval_s2i",
        ("image", "audio", "audio"): "retrieval_i2st",
    }.items():
        figures = found[protocol].figures
        assert [figures.recall_at_10_percent.value, figures.median_rank.value] == expected[key].tolist()


def test_text_goes_where_the_protocol_says() -> None:
    axes = np.eye(8, dtype=np.float32)
    images, sounds = axes[[0, 1, 2, 3]], axes[[4, 5, 6, 7]]  # images and sounds have nothing in common
    found = by_protocol(paired_retrieval(embedded(image=images, audio=sounds, audio_caption=images), resamples=10))
    assert found["image", "audio", "none"].figures.recall_at_1.value == 0.0  # all tie at rank 2.5
    assert found["image", "audio", "audio"].figures.recall_at_1.value == 1.0  # the caption bridges to the image
    assert found["image", "audio", "query"].figures.recall_at_1.value == 0.0  # it does not bridge to the sound
    assert found["audio", "image", "audio"].figures == found["audio", "image", "query"].figures
    assert found["audio", "image", "query"].figures.recall_at_1.value == 1.0
    assert found["image", "audio_caption", "none"].figures.recall_at_1.value == 1.0
    assert ("image", "image_caption", "none") not in found


def test_each_protocol_takes_the_samples_that_have_its_parts() -> None:
    random = np.random.default_rng(0)
    image, sound, text = (random.standard_normal((20, 8)).astype(np.float32) for _ in range(3))
    sound[:4], text[2:10] = np.nan, np.nan
    found = by_protocol(paired_retrieval(embedded(image=image, audio=sound, audio_caption=text), resamples=10))
    assert {key: each.n for key, each in found.items()} == {
        ("image", "audio", "none"): 16,
        ("image", "audio", "audio"): 10,
        ("image", "audio", "query"): 10,
        ("audio", "image", "none"): 16,
        ("audio", "image", "audio"): 10,
        ("audio", "image", "query"): 10,
        ("image", "audio_caption", "none"): 12,
        ("audio_caption", "image", "none"): 12,
    }


def test_per_scene_ranks_are_among_the_whole_gallery() -> None:
    rows = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)
    swapped = rows.copy()
    swapped[:10] = -rows[:10]  # the first ten are opposite to their match: ranked last of all 40
    scenes: list[str | None] = ["beach"] * 10 + ["forest"] * 20 + [None] * 10
    result = paired_retrieval(embedded(scenes, image=rows, audio=swapped), resamples=50)[0]
    assert list(result.per_scene) == ["beach", "forest"]
    beach, forest = result.per_scene["beach"], result.per_scene["forest"]
    assert (beach.recall_at_10_percent.value, beach.median_rank.value) == (0.0, 40.0)
    assert (forest.recall_at_1.value, forest.recall_at_1.n) == (1.0, 20)
    assert result.figures.recall_at_1.value == pytest.approx(30 / 40)
    assert result.figures.recall_at_1.low < 0.75 < result.figures.recall_at_1.high
