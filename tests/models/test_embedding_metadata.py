"""Images with their own metadata each, through a model that fuses it: batches, and the heatmap by its definition."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from small_model import write_small_checkpoint

from sat2sound.models import Embedder, Metadata, Sat2Sound
from sat2sound.preprocessing import Limits, SatelliteRequest, prepare_satellite

KNOWN = [
    Metadata(),
    Metadata(latitude=47.0, longitude=8.0, month=6, hour=12, audio_source="iNat", caption_source="qwen"),
    Metadata(month=1),
    Metadata(latitude=-33.0, longitude=151.0, hour=0),
    Metadata(audio_source="aporee"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Sat2Sound:
    return Sat2Sound.from_checkpoint(write_small_checkpoint(tmp_path_factory.mktemp("small")))


def picture(seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).resize((300, 300)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("batch", "order"), [(1, [4, 2, 0, 1, 3]), (2, [3, 1, 4, 0, 2]), (3, [1, 0, 3, 2, 4])])
def test_an_image_with_metadata_does_not_depend_on_its_neighbours(
    model: Sat2Sound, batch: int, order: list[int]
) -> None:
    images = [picture(seed) for seed in range(5)]
    whole = model.embed_satellite(images, metadata=KNOWN)
    split = Embedder(model, batch=batch).embed_satellite(
        [images[index] for index in order], metadata=[KNOWN[index] for index in order]
    )
    torch.testing.assert_close(split, whole[order], atol=1e-5, rtol=0)
    plain = model.embed_satellite(images)
    assert ((plain - whole).abs().amax(1) > 1e-4).tolist() == [False, True, True, True, True]


@torch.inference_mode()
def test_a_heatmap_is_the_logit_of_the_words_best_concept_at_each_patch(model: Sat2Sound) -> None:
    text, words = "waves on a beach", ["beach", "waves"]
    ids, mask = Embedder(model).tokenizer.encode([text], Limits())
    states = model.encode_text(torch.from_numpy(ids), torch.from_numpy(mask))
    text_logits = model.codebook.token_logits(model.text_query(states))
    pixels, conditions = prepare_satellite(SatelliteRequest(picture(7), month=6), model.config, Limits())
    tokens = model.encode_satellite(torch.from_numpy(pixels[None]), torch.from_numpy(conditions.as_array()[None]))
    image_logits = model.codebook.token_logits(model.satellite_query(tokens))[0]
    found = model.heatmap(picture(7), text, words, metadata=Metadata(month=6))
    assert found.shape == (2, 7, 7)
    for heat, token in zip(found, (3, 0), strict=True):  # the small tokenizer has one token per word
        concept = int(text_logits[0, token].argmax())
        torch.testing.assert_close(heat, image_logits[:49, concept].reshape(7, 7), atol=1e-4, rtol=1e-4)
    assert float((found[0] - found[1]).abs().max()) > 1e-2, "the words have different concepts"
