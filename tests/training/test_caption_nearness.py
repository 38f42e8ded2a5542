"""No wording that is used to judge the starter is a training caption in other words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sat2sound.configs import load_config
from sat2sound.gallery import read_captions
from sat2sound.training.caption_files import read_caption_files
from sat2sound.training.text_states import TextStates

FILES = read_caption_files()
TRAINED = sorted({text for table in (FILES.scenes, FILES.sounds) for texts in table.values() for text in texts})
HELD_OUT = [
    text for table in (FILES.held_out_scenes, FILES.held_out_groups) for texts in table.values() for text in texts
]
GALLERY = [entry.caption for entry in read_captions()]


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall("[a-z]+", text.lower()))


def shared(one: str, other: str) -> float:
    return len(words(one) & words(other)) / len(words(one) | words(other))


@pytest.fixture(scope="module")
def states() -> TextStates:
    return TextStates([*dict.fromkeys([*TRAINED, *HELD_OUT, *GALLERY])], load_config("starter").text)


def sentences(states: TextStates, texts: Sequence[str]) -> Tensor:
    """Sentence embeddings as MiniLM was trained to give them: the mean over tokens, of unit length."""
    tokens, mask = states.of(texts)
    weights = mask[..., None].to(torch.float32)
    return functional.normalize((tokens * weights).sum(dim=1) / weights.sum(dim=1), dim=1)


# "a road bridge above a highway" and "a highway bridge over a road" score 0.95 and share 0.67 of their words.
@pytest.mark.parametrize(("texts", "cosine", "overlap"), [(HELD_OUT, 0.87, 0.5), (GALLERY, 0.82, 0.4)])
def test_wordings_for_judging_are_not_near_training_captions(
    states: TextStates, texts: list[str], cosine: float, overlap: float
) -> None:
    nearest = (sentences(states, texts) @ sentences(states, TRAINED).T).max(dim=1)
    alike = [
        (text, TRAINED[int(at)], round(float(value), 3))
        for text, value, at in zip(texts, nearest.values, nearest.indices, strict=True)
        if value > cosine
    ]
    assert alike == []
    assert [(text, other) for text in texts for other in TRAINED if shared(text, other) > overlap] == []


def test_the_measure_finds_a_caption_in_other_words(states: TextStates) -> None:
    config = load_config("starter").text
    pair = TextStates(["a road bridge above a highway", "a highway bridge over a road"], config)
    one, other = sentences(pair, pair.texts)
    assert float(one @ other) > 0.9
    assert shared(*pair.texts) > 0.6
