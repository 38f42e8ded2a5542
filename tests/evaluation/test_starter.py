"""The four figures from embeddings whose answers are known, and their path through a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from starter_folder import write_starter_folder

from sat2sound.evaluation.starter import (
    evaluate_starter,
    figures,
    read_evaluation_data,
)
from sat2sound.models import Sat2Sound
from sat2sound.training.caption_files import read_caption_files
from sat2sound.training.starter_data import StarterFolder
from sat2sound.training.text_states import TextStates

AXES = np.eye(4, dtype=np.float32)
WORDINGS = {"beach": ("a", "b", "c", "d", "e", "f"), "forest": ("g", "h", "i", "j", "k", "l")}
TEXTS = AXES[[0] * 6 + [1] * 6]


def test_perfect_embeddings_score_one() -> None:
    found = figures(
        AXES[[0] * 10 + [1] * 10],
        ["beach"] * 10 + ["forest"] * 10,
        ["beach"] * 10 + ["residential"] * 10,
        AXES[[0, 1]],
        ["beach", "residential"],
        TEXTS,
        WORDINGS,
    )
    assert found.mean() == 1.0
    assert [found.scene_top1.n, found.image_to_group_top1.n, found.audio_to_group_top1.n] == [20, 20, 2]
    assert found.text_to_scene_p10.n == 12


def test_each_figure_counts_what_it_says() -> None:
    images = AXES[[0] * 6 + [1] * 6 + [0] * 3]  # the last three look like beaches and are not
    scenes = ["beach"] * 6 + ["forest"] * 9
    groups = ["beach"] * 6 + ["airport"] * 6 + ["forest"] * 3  # forest recordings are too few to be evaluated
    found = figures(images, scenes, groups, AXES[[0, 1, 2]], ["beach", "beach", "forest"], TEXTS, WORDINGS)
    assert found.scene_top1.value == pytest.approx(12 / 15)
    assert (found.image_to_group_top1.value, found.image_to_group_top1.n) == (0.5, 12)
    assert (found.audio_to_group_top1.value, found.audio_to_group_top1.n) == (0.5, 2)
    # Beach wordings: 9 images tie at 1, 6 of them right, and the tenth is the first forest; forest wordings: 6 right,
    # then ties at 0 in order of index, which are 4 beaches.
    assert found.text_to_scene_p10.value == pytest.approx((6 / 10 + 6 / 10) / 2)


def test_prompts_are_the_names_and_not_the_descriptions() -> None:
    texts = TEXTS.copy()
    texts[3:6], texts[9:12] = AXES[1], AXES[0]  # descriptions that point to the other scene
    found = figures(AXES[[0, 1]], ["beach", "forest"], ["beach", "airport"], AXES[[0]], ["beach"], texts, WORDINGS)
    assert found.scene_top1.value == 1.0


def test_a_model_is_evaluated_on_a_split_of_files(tmp_path: Path) -> None:
    data = read_evaluation_data(StarterFolder(write_starter_folder(tmp_path)), "test", read_caption_files())
    model = Sat2Sound.from_config("starter").eval()
    found = json.loads(evaluate_starter(model, data, TextStates(data.texts, model.config.text)).to_json())
    assert {name: figure["n"] for name, figure in found.items()} == {
        "scene_top1": 12,
        "image_to_group_top1": 8,  # beach and farmland; forest is not evaluated
        "audio_to_group_top1": 6,
        "text_to_scene_p10": 126,
    }
    assert all(0.0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1.0 for figure in found.values())
