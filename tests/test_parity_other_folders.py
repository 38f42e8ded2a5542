"""The parity check on folders with other salts, inputs and subsets, whose numbers an independent reference computed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity import main as parity
from parity_branches import satellite_checks, text_checks
from parity_folder import METADATA_PREFIX, ParityFolder
from parity_made import Array, Recipe, entry, make_folder
from PIL import Image
from shared_data import shared_folder

from sat2sound.models import Sat2Sound

SECOND = 32_000


def noise(samples: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(0, 0.1, samples)


def published_keys(*, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Names and shapes of a published model that lacks some metadata parts."""
    keys = json.loads(shared_folder("parity", "manifest.json").read_text())["keys"]
    return [key for key in keys if not any(f".{part}_fc." in key["name"] for part in without)]


def everything() -> Recipe:
    images = [
        (entry("large.png", "googleEarth", 3, month_valid=0), (901, 812)),
        # smaller than the crop: zero padding
        (entry("small.png", "bingmap", 1, time_valid=0, latitude=12.5, longitude=-7.0, audio_source=3), (220, 260)),
    ]
    sounds = {"short.flac": noise(150_000), "long.flac": np.convolve(noise(400_000), np.ones(8) / 8)}
    return Recipe("another", published_keys(), images, sounds, text_lengths=(11, 4), numbers=33)


def sounding_earth() -> Recipe:
    """Without audio source; a grey JPEG, a numeric salt, a loud sweep, a click, one text of one token."""
    time = np.arange(9 * SECOND) / SECOND
    known = entry("grey.jpg", "googleEarth", 1, audio_source=None, time_valid=None, hour=None)
    sounds = {"sweep.wav": 0.5 * np.sin(2 * np.pi * (200 + 500 * time) * time), "click.ogg": noise(900)}
    keys = published_keys(without=("audio_source", "time"))
    return Recipe(20261123, keys, [(known, (300, 257))], sounds, text_lengths=(1,))


def only_image_without_metadata() -> Recipe:
    keys = [key for key in published_keys() if not key["name"].startswith(METADATA_PREFIX)]
    known = entry("wide.webp", "sentinel", 5, latitude=None, longitude=None, month=None, hour=None)
    return Recipe("", keys, [(known, (1500, 1301))])


@pytest.mark.parametrize("recipe", [everything, only_image_without_metadata])
def test_other_salts_inputs_and_subsets_pass(
    recipe: Callable[[], Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = parity([str(make_folder(tmp_path, recipe()))])
    assert code == 0, capsys.readouterr().out


def test_another_subset_passes_and_each_of_its_numbers_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time each expected array is changed in one place, by twice its tolerance."""
    tolerances = {
        "pixels": 1e-6,
        "tokens": 2e-4,
        "mel": 1e-3,
        "token_code_attention": 2e-3,
        "support": 2,
        "best_code": 1,
    }

    def spoil(values: dict[str, Any]) -> None:
        for name in values.keys() - {"text_hidden", "text_mask"}:
            quantity = name.partition("_")[2].removeprefix("fused_")
            array = values[name].copy(order="C")
            relative = "embedding" in quantity
            tolerance = 1e-4 * np.abs(array).max() if relative else tolerances.get(quantity, 1e-6)
            array.flat[array.size // 3] += 2 * tolerance
            values[name] = array

    (tmp_path / "right").mkdir()
    right = make_folder(tmp_path / "right", sounding_earth())
    code = parity([str(right)])
    assert code == 0, capsys.readouterr().out
    capsys.readouterr()
    assert parity([str(changed(right, tmp_path / "wrong", spoil))]) == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith(("yes", "NO"))]
    assert [row.split()[0] for row in rows if row.endswith("yes")] == ["sat0_gsd_m"]
    assert len(rows) == 19


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Losses and retrieval only: no model, nothing shared."""
    return make_folder(tmp_path_factory.mktemp("numbers"), Recipe("salt", numbers=50))


def changed(folder: Path, copy: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    with np.load(copy / "expected.npz") as file:
        values = dict(file)
    change(values)
    np.savez(copy / "expected.npz", **values)
    return copy


def test_numbers_without_any_model_pass(numbers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity([str(numbers)]) == 0
    assert "all 5 passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.clear(), "nothing was compared"),
        (lambda values: values.update(loss_values=values["loss_values"] * 1.001), "loss_values"),
        (lambda values: values.update(loss_values=values["loss_values"][:5]), "shape (6,), expected (5,)"),
        (lambda values: values.update(loss_values=values["loss_values"] * np.nan), "loss_values"),
        (lambda values: values.pop("loss_audio"), "KeyError: 'loss_audio'"),
        (lambda values: values.update(sat0_embedding=np.zeros(1024)), "sat0_embedding"),
        (lambda values: values.update(retrieval_x2y=np.zeros(2)), "retrieval_x2y"),
    ],
)
def test_wrong_missing_and_unknown_numbers_fail(
    numbers: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], Any],
    said: str,
) -> None:
    assert parity([str(changed(numbers, tmp_path, change))]) == 1
    assert said in capsys.readouterr().out


def test_an_input_without_numbers_and_a_folder_that_is_none_fail(
    numbers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = changed(numbers, tmp_path / "copy", lambda values: None)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "audio": [{"file": "rain.wav"}]}))
    assert parity([str(copy)]) == 1
    assert "missing: codebook.concepts" in capsys.readouterr().out
    assert parity([str(tmp_path)]) == 1
    assert "is no parity folder" in capsys.readouterr().out


def test_an_unknown_satellite_type_and_texts_without_a_mask_are_rows_of_the_table(
    numbers: Path, tmp_path: Path
) -> None:
    given = {
        "sat0_tokens": np.zeros((6, 16)),
        "text_hidden": np.zeros((1, 2, 512)),
        "text_embedding": np.zeros((1, 512)),
    }
    folder = ParityFolder(changed(numbers, tmp_path, lambda values: values.update(given)))
    folder.manifest["satellite"] = [{"file": "a.png", "sat_type": "landsat"}]
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    starter = Sat2Sound.from_checkpoint("starter")
    (image,) = satellite_checks(folder, starter, starter)
    (text,) = text_checks(folder, starter)
    assert (image.passed, text.passed) == (False, False)
    assert "unknown satellite type 'landsat'" in image.problem
    assert text.problem == "KeyError: 'text_mask'"
