"""A small data folder of the starter's layout, made by the tests themselves: coloured stripes and tones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

SCENES = {"beach": (200, 180, 120), "forest": (30, 90, 30), "agricultural": (120, 140, 60)}
SOUNDS = {"beach": ("sea waves", 300.0), "forest": ("birds", 3000.0), "farmland": ("rooster", 900.0)}


def write_starter_folder(folder: Path, *, train: int = 12, other: int = 4) -> Path:
    """images.csv and audio.csv with `train` images and 3 recordings per scene, and `other` of val and test each."""
    random = np.random.default_rng(7)
    images, recordings = [], []
    for split, count in (("train", train), ("val", other), ("test", other)):
        for index in range(count):
            for scene, colour in SCENES.items():
                path = f"images/{scene}/{split}{index}.png"
                images.append({"path": path, "scene": scene, "split": split})
                _write_image(folder / path, colour, random)
        for index in range(min(3, count)):
            for group, (label, pitch) in SOUNDS.items():
                path = f"audio/{group}/{split}{index}.wav"
                row = {"path": path, "group": group, "label": label, "split": split, "tier": "A", "duration_s": "2.0"}
                recordings.append(row)
                _write_recording(folder / path, pitch, random)
    _write_table(folder / "images.csv", images)
    _write_table(folder / "audio.csv", recordings)
    return folder


def _write_image(path: Path, colour: tuple[int, int, int], random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = random.integers(-25, 25, (256, 256, 3))
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)


def _write_recording(path: Path, pitch: float, random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(64_000) / 32_000
    samples = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * random.standard_normal(len(time))
    soundfile.write(path, samples.astype(np.float32), 32_000)


def _write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
