"""A real, tiny LLaVA through transformers without torchvision: answers per image, in batches, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_llava import SPECIAL, WORDS, write_tiny_llava

from sat2sound.captioning.captioner import MAX_NEW_TOKENS, Answer, answer_of
from sat2sound.captioning.errors import CaptioningError
from sat2sound.captioning.local import LocalCaptioner


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> LocalCaptioner:
    return LocalCaptioner(str(write_tiny_llava(tmp_path_factory.mktemp("llava"))), batch=3, device="cpu")


def images(count: int) -> list[Image.Image]:
    random = np.random.default_rng(2)
    noise = random.integers(0, 256, (count, 40, 40, 3), dtype=np.uint8)
    return [Image.fromarray(pixels // (index + 1)) for index, pixels in enumerate(noise)]


def test_captions_are_words_of_the_model_and_depend_on_the_image(captioner: LocalCaptioner) -> None:
    answers = dict(captioner.caption(images(3)))
    captions = [answers[index].caption for index in range(3)]
    assert len(set(captions)) > 1
    for caption in captions:
        assert caption
        assert set(caption.split()) <= set(WORDS)
        assert not set(caption.split()) & set(SPECIAL)
        assert len(caption.split()) <= MAX_NEW_TOKENS


def test_a_batch_answers_as_each_image_alone(captioner: LocalCaptioner) -> None:
    given = images(3)
    together = dict(captioner.caption(given))
    assert [next(iter(captioner.caption([image])))[1] for image in given] == [together[index] for index in range(3)]


def test_the_prompt_is_the_published_one_in_llavas_form(captioner: LocalCaptioner) -> None:
    assert captioner.text.startswith("USER: <image>\nWhat types of sounds can we expect to hear")
    assert captioner.text.endswith("Describe in up to two sentences. ASSISTANT:")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CaptioningError, match="cannot be loaded"):
        LocalCaptioner(str(tmp_path))


def test_nothing_is_not_a_caption() -> None:
    assert answer_of(" waves \n and wind ") == Answer(caption="waves and wind")
    assert answer_of("  ").failure == "the model answered nothing"
    assert answer_of(None).failure
    assert "Unicode" in (answer_of("half \ud83d an emoji").failure or "")
    with pytest.raises(ValueError, match="either"):
        Answer()
