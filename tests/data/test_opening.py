"""A path finds its reader; the starter's folder as samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from starter_folder import write_starter_folder

from sat2sound.data.opening import open_samples
from sat2sound.data.samples import read_encoded
from sat2sound.errors import ConfigurationError, DatasetError


def test_a_starter_folder_gives_images_with_scenes_and_recordings_with_groups(tmp_path: Path) -> None:
    found = list(open_samples(write_starter_folder(tmp_path), "test"))
    assert len({sample.id for sample in found}) == len(found) == 12 + 9
    images = [sample for sample in found if sample.image]
    assert {(sample.scene, sample.group) for sample in images} == {
        ("beach", "beach"),
        ("forest", "forest"),
        ("agricultural", "farmland"),
    }
    recordings = [sample for sample in found if sample.audio]
    assert {sample.group for sample in recordings} == {"beach", "forest", "farmland"}
    assert read_encoded(images[0].image or b"").startswith(b"\x89PNG")
    assert read_encoded(recordings[0].audio or b"").startswith(b"RIFF")


def test_recordings_of_unclear_licence_are_left_out(tmp_path: Path) -> None:
    table = write_starter_folder(tmp_path) / "audio.csv"
    table.write_text(table.read_text().replace(",A,", ",B,", 1 + 9 + 9))  # all of train and val, one of test
    assert len([sample for sample in open_samples(tmp_path, "test") if sample.audio]) == 8


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda folder: folder / "absent", DatasetError, "does not exist"),
        (lambda folder: folder, DatasetError, "no known layout"),
        (write_starter_folder, ConfigurationError, "no rows of split 'tset'"),
    ],
)
def test_what_is_no_dataset_says_so(tmp_path: Path, make, kind, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(kind, match=words):
        list(open_samples(make(tmp_path), "tset"))
