"""What the steps of the starter's training see."""

from __future__ import annotations

import pytest
from starter_folder import write_starter_folder

from sat2sound.training.batches import Batches
from sat2sound.training.caption_files import read_caption_files
from sat2sound.training.recipe import Phase, Recipe
from sat2sound.training.starter_data import AudioSet, ImageSet, StarterFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSet, AudioSet]:
    folder = StarterFolder(write_starter_folder(tmp_path_factory.mktemp("data")))
    return folder.images("train", prepared=False), folder.recordings("train", prepared=False)


@pytest.mark.parametrize(
    ("labels", "phases"),
    [
        ((), (Phase(32, 1), Phase(48, 2))),
        ((), (Phase(48, 1), Phase(32, 1))),
        ((Phase(32, 2), Phase(48, 1)), (Phase(32, 1), Phase(48, 1))),
        ((Phase(48, 1), Phase(32, 1)), (Phase(32, 1),)),
    ],
)
def test_the_largest_batch_is_one_of_the_largest(
    data: tuple[ImageSet, AudioSet], labels: tuple[Phase, ...], phases: tuple[Phase, ...]
) -> None:
    recipe = Recipe(label_phases=labels, phases=phases, batch=12, recordings=3, audio_every=3)
    files = read_caption_files()
    batches = Batches(*data, files.scenes, files.sounds, recipe)
    found = []
    for step in range(recipe.steps(len(data[0].scenes))):
        batch = batches.make(step)
        assert batch.labels_only == (step < recipe.label_epochs * batches.steps_per_epoch)
        assert not (batch.labels_only and batch.sounds)
        found.append((batch.images.shape[-1], batch.sounds is not None))
    assert {size for size, _ in found} == {phase.image_size for phase in (*labels, *phases)}
    assert found[batches.largest] == max(found)
