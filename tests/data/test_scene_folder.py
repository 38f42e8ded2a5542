"""The starter's folder as samples: images with scenes, recordings with groups, nothing of unclear licence."""

from __future__ import annotations

from pathlib import Path

from starter_folder import write_starter_folder

from sat2sound.data.opening import open_samples
from sat2sound.data.samples import read_encoded
from sat2sound.data.scene_folder import is_scene_folder


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


def test_both_tables_make_it(tmp_path: Path) -> None:
    write_starter_folder(tmp_path)
    assert is_scene_folder(tmp_path)
    (tmp_path / "audio.csv").unlink()
    assert not is_scene_folder(tmp_path)
