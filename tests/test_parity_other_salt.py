"""The parity check on a folder with another salt and other inputs, whose numbers an independent reference computed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import parity_reference as reference
import pytest
import soundfile
import torch
from parity import main as parity
from parity_checkpoint import fill
from PIL import Image
from shared_data import shared_folder

SALT = "another"
TILES = {"bingmap": (0.6, 300), "sentinel": (10.0, 256), "googleEarth": (0.2, 256)}
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _entry(name: str, kind: str, zoom_level: int, **known: Any) -> dict[str, Any]:
    given = {"latitude": -33.9, "longitude": 151.2, "month": 11, "hour": 23, "audio_source": 1, "caption_source": 0}
    given |= {"month_valid": 1, "time_valid": 1, **known}
    return {"file": name, "sat_type": kind, "zoom_level": zoom_level, "gsd_m": TILES[kind][0] * zoom_level, **given}


def _picture(path: Path, size: tuple[int, int], seed: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (size[1] // 9, size[0] // 9, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size).save(path)


def _pixels(path: Path, kind: str, zoom_level: int) -> np.ndarray:
    crop = TILES[kind][1] * zoom_level
    with Image.open(path) as image:
        left, top = round((image.width - crop) / 2), round((image.height - crop) / 2)
        square = image.crop((left, top, left + crop, top + crop)).resize((224, 224), Image.Resampling.BICUBIC)
    return np.asarray(((np.asarray(square) / 255.0 - MEAN) / DEVIATION).transpose(2, 0, 1))


def _satellite(p: reference.Parameters, folder: Path, entry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    pixels = _pixels(folder / entry["file"], entry["sat_type"], entry["zoom_level"])
    yield "pixels", pixels
    tokens = reference.satellite_tokens(p, torch.from_numpy(pixels), entry["gsd_m"])
    fused = reference.fuse(p, tokens, entry)
    yield "tokens", tokens[::39, ::64]
    yield "fused_tokens", fused[::40, ::64]
    plain = reference.weights(p, reference.queries(p, "img", tokens))
    queries = reference.queries(p, "img", fused)
    full = reference.weights(p, queries)
    yield "embedding_nometa", plain @ p["fdt.space_dict"]
    yield "embedding", full @ p["fdt.space_dict"]
    yield "weights_top", full.sort(descending=True).values[:64]
    yield "support", np.array([int((plain > 0).sum()), int((full > 0).sum())])
    yield "token_code_attention", (queries @ p["fdt.space_dict"].T)[:196:13, ::1000]


def _audio(p: reference.Parameters, path: Path) -> Iterator[tuple[str, Any]]:
    samples = np.zeros(320_000, np.float32)
    read = soundfile.read(path, dtype="float32")[0][:320_000]
    samples[: len(read)] = read
    mel = reference.log_mel(samples)
    yield "mel", mel[::7]
    tokens = reference.audio_tokens(p, mel)
    yield "tokens", tokens[::4, ::48]
    weights = reference.weights(p, reference.queries(p, "audio", tokens))
    yield "embedding", weights @ p["fdt.space_dict"]
    yield "support", np.array([int((weights > 0).sum())])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parity folder with two images and two recordings, one text batch, and no losses or retrieval."""
    keys = json.loads(shared_folder("parity", "manifest.json").read_text())["keys"]
    p = {
        key["name"]: torch.from_numpy(fill(SALT, key["name"], key["shape"], key["kind"])).double()
        for key in keys
        if key["kind"] != "as-computed"
    }
    made = tmp_path_factory.mktemp("parity")
    images = [
        _entry("large.png", "googleEarth", 3, month_valid=0),
        _entry("small.png", "bingmap", 1, time_valid=0, latitude=12.5, longitude=-7.0, audio_source=3),
    ]
    _picture(made / "large.png", (901, 812), 1)
    _picture(made / "small.png", (220, 260), 2)  # smaller than the crop: zero padding
    noise = np.random.default_rng(3).normal(0, 0.1, 400_000)
    sounds = [("short.flac", noise[:150_000]), ("long.flac", np.convolve(noise, np.ones(8) / 8))]
    for name, samples in sounds:
        soundfile.write(made / name, samples.clip(-1, 1), 32_000)
    expected: dict[str, Any] = {}
    with torch.no_grad():
        for index, entry in enumerate(images):
            expected |= {f"sat{index}_{name}": value for name, value in _satellite(p, made, entry)}
        for index, (name, _) in enumerate(sounds):
            expected |= {f"aud{index}_{key}": value for key, value in _audio(p, made / name)}
        hidden = np.random.default_rng(4).normal(size=(2, 11, 1024)).astype(np.float32)
        mask = (np.arange(11)[None] < np.array([[11], [4]])).astype(np.int64)
        queries = [reference.queries(p, "txt", torch.from_numpy(row).double()) for row in hidden]
        padded = [(q, torch.from_numpy(row)) for q, row in zip(queries, mask, strict=True)]
        logits = torch.stack([(q @ p["fdt.space_dict"].T) * row[:, None] for q, row in padded])
        expected |= {"text_hidden": hidden, "text_mask": mask, "text_best_code": logits.argmax(-1)}
        expected["text_embedding"] = torch.stack(
            [reference.weights(p, q, row) @ p["fdt.space_dict"] for q, row in padded]
        )
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in expected.items()}
    np.savez(made / "expected.npz", **arrays)
    manifest = {
        "salt": SALT,
        "keys": keys,
        "satellite": images,
        "audio": [{"file": name, "seconds": 0} for name, _ in sounds],
    }
    (made / "manifest.json").write_text(json.dumps(manifest))
    return made


def test_another_salt_and_other_inputs_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = parity([str(folder)])
    assert code == 0, capsys.readouterr().out


def test_a_wrong_number_fails(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = dict(np.load(folder / "expected.npz"))
    values["sat1_embedding"] = values["sat1_embedding"] * 1.001
    for name in ("manifest.json", "large.png", "small.png", "short.flac", "long.flac"):
        (tmp_path / name).symlink_to(folder / name)
    np.savez(tmp_path / "expected.npz", **values)
    assert parity([str(tmp_path)]) == 1
    assert "sat1_embedding" in next(line for line in capsys.readouterr().out.splitlines() if line.endswith("NO"))
