"""Embeddings, concepts and heatmaps from files and words, with the shipped starter."""

from __future__ import annotations

import io
import random
from functools import partial
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from sat2sound.errors import InvalidInput
from sat2sound.models import Embedder, Metadata, Sat2Sound


@pytest.fixture(scope="module")
def model() -> Sat2Sound:
    return Sat2Sound.from_checkpoint("starter")


def picture(seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).resize((256, 256)).save(buffer, "PNG")
    return buffer.getvalue()


def sound(seed: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, 16_000)
    soundfile.write(buffer, np.convolve(noise, np.ones(seed + 1) / (seed + 1)), 16_000, format="WAV")
    return buffer.getvalue()


TEXTS = [
    "waves",
    "a long description of a busy road with trucks, horns and a distant siren",
    "birds",
    "wind in trees",
    "x",
]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_shuffled_and_split_batches_give_the_same(model: Sat2Sound, batch: int) -> None:
    embedder, order = Embedder(model, batch=batch), list(range(5))
    random.Random(batch).shuffle(order)
    images, sounds = [picture(seed) for seed in range(5)], [sound(seed) for seed in range(5)]
    cases: list[tuple[Any, Any, list[Any]]] = [
        (embedder.embed_satellite, model.embed_satellite, images),
        (embedder.embed_audio, model.embed_audio, sounds),
        (embedder.embed_text, model.embed_text, TEXTS),
        (partial(embedder.embed_text, floor=False), partial(model.embed_text, floor=False), TEXTS),
    ]
    for split, together, inputs in cases:
        whole = together(inputs)
        torch.testing.assert_close(split([inputs[i] for i in order]), whole[order], atol=2e-5, rtol=0)
        torch.testing.assert_close(whole.norm(dim=1), torch.ones(5))


def test_heatmap_of_one_and_several_words(model: Sat2Sound) -> None:
    text = "Gulls cry above the surf"
    one = model.heatmap(picture(1), text, "surf")
    both = model.heatmap(picture(1), text, ["Gulls", "surf"])
    assert one.shape == (14, 14)
    assert both.shape == (2, 14, 14)
    torch.testing.assert_close(both[1], one)
    with pytest.raises(InvalidInput, match="not in the text"):
        model.heatmap(picture(1), text, "tractor")


def test_concepts_sum_to_one_and_reproduce_the_embedding(model: Sat2Sound) -> None:
    cases: list[tuple[str, Any, list[Any]]] = [
        ("images", model.embed_satellite, [picture(2), picture(3)]),
        ("recordings", model.embed_audio, [sound(2), sound(3)]),
        ("texts", model.embed_text, ["a river", "a long freight train rolls by"]),
    ]
    for kind, embed, inputs in cases:
        found = model.concepts(**{kind: inputs})
        assert len(found) == 2
        for concepts, raw in zip(found, embed(inputs, unit=False), strict=True):
            assert float(concepts.weights.sum()) == pytest.approx(1.0, abs=1e-5)
            assert bool((concepts.weights[:-1] >= concepts.weights[1:]).all())
            mixed = concepts.weights @ model.codebook.concepts.detach()[concepts.indices]
            torch.testing.assert_close(raw, mixed, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="one of"):
        model.concepts(texts=["a"], images=[picture(0)])


def test_concepts_of_an_image_follow_its_options(model: Sat2Sound) -> None:
    known: dict[str, Any] = {"satellite": "sentinel", "zoom_level": 1}
    (concepts,) = model.concepts(images=[picture(4)], **known)
    (raw,) = model.embed_satellite([picture(4)], unit=False, **known)
    mixed = concepts.weights @ model.codebook.concepts.detach()[concepts.indices]
    torch.testing.assert_close(raw, mixed, atol=1e-4, rtol=1e-4)
    (plain,) = model.embed_satellite([picture(4)], unit=False)
    assert float((plain - raw).abs().max()) > 1e-3


def test_a_lone_input_or_too_few_metadata_are_refused(model: Sat2Sound) -> None:
    for embed in (model.embed_satellite, model.embed_audio, model.embed_text):
        with pytest.raises(InvalidInput, match="put it in a list"):
            embed("waves")
    for count in (0, 1, 3):
        with pytest.raises(InvalidInput, match=f"2 images came with {count} metadata"):
            model.embed_satellite([picture(0), picture(1)], metadata=[Metadata()] * count)


def test_inputs_are_checked_and_training_mode_is_refused(model: Sat2Sound) -> None:
    with pytest.raises(InvalidInput, match="latitude"):
        model.embed_satellite([picture(0)], metadata=Metadata(latitude=91.0, longitude=0.0))
    with pytest.raises(ValueError, match="eval"):
        Embedder(Sat2Sound.from_config("starter"))
    assert model.embed_text([]).shape == (0, model.config.embedding)
