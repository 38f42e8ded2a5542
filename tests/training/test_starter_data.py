"""Reading the starter's data: preparation as served, licences, damaged files, and what its tables must say."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_data import shared_folder
from starter_folder import write_starter_folder

from sat2sound.errors import ConfigurationError
from sat2sound.preprocessing import Limits, crop_and_resize, decode_image, prepare_audio
from sat2sound.satellite_types import satellite_type
from sat2sound.training import starter_data
from sat2sound.training.caption_files import read_caption_files
from sat2sound.training.starter_data import GROUP_SCENES, StarterFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_starter_folder(tmp_path_factory.mktemp("data"))


def change_first(table: Path, **changes: str) -> dict[str, str]:
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= changes
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows[0]


def test_prepared_images_are_what_the_server_sees(folder: Path) -> None:
    images = StarterFolder(folder).images("val", prepared=True)
    first = decode_image((folder / "images/beach/val0.png").read_bytes(), Limits())
    assert images.pixels.shape == (12, 224, 224, 3)
    assert images.scenes[0] == "beach"
    assert np.array_equal(images.pixels[0], crop_and_resize(first, satellite_type("aerial"), 1))


def test_training_images_are_whole_tiles(folder: Path) -> None:
    images = StarterFolder(folder).images("train", prepared=False)
    assert images.pixels.shape == (36, 256, 256, 3)
    assert np.array_equal(images.pixels[0], np.asarray(Image.open(folder / "images/beach/train0.png")))


def test_recordings_are_prepared_as_the_server_does(folder: Path) -> None:
    recordings = StarterFolder(folder).recordings("test", prepared=True)
    assert recordings.groups[:3] == ("beach", "forest", "farmland")
    expected = prepare_audio((folder / "audio/beach/test0.wav").read_bytes(), Limits())
    assert np.array_equal(recordings.log_mels[0], expected)


def test_unclear_licences_are_left_out(tmp_path: Path) -> None:
    folder = write_starter_folder(tmp_path)
    before = StarterFolder(folder).recordings("train", prepared=True)
    change_first(folder / "audio.csv", tier="B")
    after = StarterFolder(folder).recordings("train", prepared=True)
    assert len(after.labels) == len(before.labels) - 1
    assert after.labels == before.labels[1:]


def test_long_recordings_give_windows_for_training_only(tmp_path: Path) -> None:
    folder = write_starter_folder(tmp_path)
    import soundfile

    noise = np.random.default_rng(0).standard_normal(25 * 8000).astype(np.float32) * 0.1
    row = change_first(folder / "audio.csv", duration_s="25.0")
    soundfile.write(folder / row["path"], noise, 8000)
    assert StarterFolder(folder).recordings("train", prepared=False).log_mels[0].shape == (3, 1001, 64)
    assert StarterFolder(folder).recordings("train", prepared=True).log_mels[0].shape == (1, 1001, 64)


def test_a_damaged_file_is_skipped_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_starter_folder(tmp_path)
    (folder / "images/forest/train3.png").write_bytes(b"not an image")
    monkeypatch.setattr(starter_data, "MAX_DAMAGED_SHARE", 0.05)
    reader = StarterFolder(folder)
    assert len(reader.images("train", prepared=False).scenes) == 35
    assert len(reader.damaged) == 1
    assert reader.damaged[0].startswith("images/forest/train3.png: the bytes are not an image")


def test_too_many_damaged_files_fail_the_run(folder: Path, tmp_path: Path) -> None:
    folder = write_starter_folder(tmp_path)
    (folder / "audio/beach/train0.wav").unlink()
    with pytest.raises(ConfigurationError, match=r"1 of 9 files cannot be used:\n  audio/beach/train0.wav"):
        StarterFolder(folder).recordings("train", prepared=False)


def test_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = write_starter_folder(tmp_path)
    with pytest.raises(ConfigurationError, match="no rows of split 'validation'"):
        StarterFolder(folder).images("validation", prepared=True)
    (folder / "images.csv").write_text("file,label\na.png,beach\n")
    with pytest.raises(ConfigurationError, match="has no column path, scene, split"):
        StarterFolder(folder).images("train", prepared=True)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        StarterFolder(tmp_path / "elsewhere").images("train", prepared=True)


def test_real_tables_have_captions_for_all_that_is_trained_on() -> None:
    data, files = shared_folder("data"), read_caption_files()
    with (data / "audio.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["tier"] == "A"]
    assert {row["label"] for row in rows} <= set(files.sounds)
    assert {row["group"] for row in rows} <= set(GROUP_SCENES)
    with (data / "images.csv").open(newline="") as file:
        assert {row["scene"] for row in csv.DictReader(file)} == set(files.scenes)
