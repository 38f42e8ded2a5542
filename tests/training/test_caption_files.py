"""The captions: complete, and nothing held out is trained on."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from sat2sound.errors import ConfigurationError
from sat2sound.training.caption_files import FOLDER, NAMES_PER_SCENE, read_caption_files
from sat2sound.training.starter_data import EVALUATED_GROUPS, GROUP_SCENES

FILES = read_caption_files()
# Which recordings of ../shared/data each group is made of (water has too few recordings to train on).
GROUP_LABELS = {
    "beach": ("sea waves", "beach, sea, voices, traffic"),
    "residential": ("dog bark",),
    "farmland": ("rooster", "crickets at night"),
    "airport": ("helicopter",),
    "industrial": ("chainsaw",),
    "forest": (
        "mountain forest 24 h cycle",
        "birds",
        "wind",
        "spring birds",
        "rain in rainforest",
        "bird song (spinetail)",
    ),
    "road": ("urban street (Camden Town, London)", "city park traffic, people", "city street"),
}
WATER = ("boat/water lapping", "river/waterfall")


def test_every_scene_has_captions_and_unseen_wordings() -> None:
    assert len(FILES.scenes) == 21
    assert set(FILES.held_out_scenes) == set(FILES.scenes)
    assert all(len(texts) >= 40 for texts in FILES.scenes.values())
    assert all(len(texts) == 2 * NAMES_PER_SCENE for texts in FILES.held_out_scenes.values())


def test_pairs_of_scenes_and_sounds_name_scenes_that_exist() -> None:
    assert {scene for scenes in GROUP_SCENES.values() for scene in scenes} <= set(FILES.scenes)
    assert set(EVALUATED_GROUPS) == set(FILES.held_out_groups) <= set(GROUP_SCENES)


def test_every_sound_group_with_training_recordings_has_several_dozen_captions() -> None:
    counts = Counter(
        {group: sum(len(FILES.sounds[label]) for label in labels) for group, labels in GROUP_LABELS.items()}
    )
    assert {*FILES.sounds} == {*WATER, *(label for labels in GROUP_LABELS.values() for label in labels)}
    assert min(counts.values()) >= 40


def test_no_caption_fits_two_sounds() -> None:
    counts = Counter(text.lower() for texts in FILES.sounds.values() for text in texts)
    assert [text for text, count in counts.items() if count > 1] == []


def test_no_caption_fits_two_scenes() -> None:
    owners: dict[str, str] = {}
    for scene, texts in FILES.scenes.items():
        for text in texts:
            assert owners.setdefault(text.lower(), scene) == scene, text


@pytest.mark.parametrize(
    ("file", "line", "problem"),
    [
        ("scenes_nature.toml", 'sea = ["a strand of sand along the ocean"]', "held-out wordings are also training"),
        ("scenes_nature.toml", "sea = []", "'sea' must be a list of captions"),
        ("sounds.toml", 'rain = ["drops", " "]', "'rain' must be a list of captions"),
        ("sounds.toml", "rain = [", "not a readable caption file"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, file: str, line: str, problem: str) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "captions"))
    with (folder / file).open("a", encoding="utf-8") as opened:
        opened.write(f"\n{line}\n")
    with pytest.raises(ConfigurationError, match=problem):
        read_caption_files(folder)
