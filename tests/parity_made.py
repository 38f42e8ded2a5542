"""Makes parity folders with any salt, inputs and subset of the layout; their numbers come from `parity_reference`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import parity_reference as reference
import soundfile
import torch
from parity_checkpoint import fill
from PIL import Image
from scipy.stats import rankdata

Array = npt.NDArray[Any]
TILES = {"bingmap": (0.6, 300), "sentinel": (10.0, 256), "googleEarth": (0.2, 256)}
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Recipe:
    """What a folder holds. keys: of its manifest; entries: images by manifest entry and size; sounds: by file name,
    32 kHz samples; text_lengths: tokens of each text (none: no texts); numbers: embeddings in each set for losses and
    retrieval (0: neither)."""

    salt: object
    keys: Sequence[dict[str, Any]] = ()
    entries: Sequence[tuple[dict[str, Any], tuple[int, int]]] = ()
    sounds: dict[str, Array] = field(default_factory=dict)
    text_lengths: Sequence[int] = ()
    numbers: int = 0


def entry(name: str, kind: str, zoom_level: int, **known: Any) -> dict[str, Any]:
    """A manifest entry. known: the metadata that differ from the usual ones; None leaves one out."""
    given = {"latitude": -33.9, "longitude": 151.2, "month": 11, "hour": 23, "audio_source": 1, "caption_source": 0}
    given |= {"month_valid": 1, "time_valid": 1, **known}
    given = {name: value for name, value in given.items() if value is not None}
    return {"file": name, "sat_type": kind, "zoom_level": zoom_level, "gsd_m": TILES[kind][0] * zoom_level, **given}


def make_folder(path: Path, recipe: Recipe) -> Path:
    """Write manifest.json, expected.npz and the inputs."""
    p = {
        key["name"]: torch.from_numpy(fill(recipe.salt, key["name"], key["shape"], key["kind"])).double()
        for key in recipe.keys
        if key["kind"] != "as-computed"
    }
    expected: dict[str, Any] = {}
    with torch.no_grad():
        for index, (known, size) in enumerate(recipe.entries):
            _picture(path / known["file"], size, index)
            expected |= {f"sat{index}_{name}": value for name, value in _satellite(p, path, known)}
        for index, (name, samples) in enumerate(recipe.sounds.items()):
            soundfile.write(path / name, samples.clip(-1, 1), 32_000)
            expected |= {f"aud{index}_{key}": value for key, value in _audio(p, path / name)}
        if recipe.text_lengths:
            expected |= _text(p, recipe.text_lengths)
    if recipe.numbers:
        expected |= _numbers(recipe.numbers)
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in expected.items()}
    np.savez(path / "expected.npz", **arrays)
    manifest: dict[str, Any] = {"salt": recipe.salt, "keys": list(recipe.keys)}
    if recipe.entries:
        manifest["satellite"] = [known for known, _ in recipe.entries]
    if recipe.sounds:
        manifest["audio"] = [{"file": name} for name in recipe.sounds]
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def _picture(path: Path, size: tuple[int, int], seed: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (size[1] // 9, size[0] // 9, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size)
    (image.convert("L") if path.stem.startswith("grey") else image).save(path)


def _pixels(path: Path, kind: str, zoom_level: int) -> Array:
    crop = TILES[kind][1] * zoom_level
    with Image.open(path) as file:
        image = file.convert("RGB")
    left, top = round((image.width - crop) / 2), round((image.height - crop) / 2)
    square = image.crop((left, top, left + crop, top + crop)).resize((224, 224), Image.Resampling.BICUBIC)
    return np.asarray(((np.asarray(square) / 255.0 - MEAN) / DEVIATION).transpose(2, 0, 1))


def _satellite(p: reference.Parameters, folder: Path, known: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    pixels = _pixels(folder / known["file"], known["sat_type"], known["zoom_level"])
    yield "pixels", pixels
    tokens = reference.satellite_tokens(p, torch.from_numpy(pixels), known["gsd_m"])
    yield "tokens", tokens[::39, ::64]
    plain = reference.weights(p, reference.queries(p, "img", tokens))
    yield "embedding_nometa", plain @ p["fdt.space_dict"]
    if not any(name.startswith("sat_encoder.") for name in p):
        yield "support", np.array([int((plain > 0).sum())])
        return
    fused = reference.fuse(p, tokens, known)
    yield "fused_tokens", fused[::40, ::64]
    queries = reference.queries(p, "img", fused)
    full = reference.weights(p, queries)
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


def _text(p: reference.Parameters, lengths: Sequence[int]) -> dict[str, Any]:
    hidden = np.random.default_rng(4).normal(size=(len(lengths), max(lengths), 1024)).astype(np.float32)
    mask = (np.arange(max(lengths))[None] < np.array(lengths)[:, None]).astype(np.int64)
    queries = [reference.queries(p, "txt", torch.from_numpy(row).double()) for row in hidden]
    padded = [(q, torch.from_numpy(row)) for q, row in zip(queries, mask, strict=True)]
    logits = torch.stack([(q @ p["fdt.space_dict"].T) * row[:, None] for q, row in padded])
    raw = torch.stack([reference.weights(p, q, row) @ p["fdt.space_dict"] for q, row in padded])
    return {"text_hidden": hidden, "text_mask": mask, "text_embedding": raw, "text_best_code": logits.argmax(-1)}


def _numbers(count: int) -> dict[str, Any]:
    random = np.random.default_rng(5)
    image, sound, text, image_caption = (random.normal(size=(count, 48)).astype(np.float32) for _ in range(4))
    text += image
    sound[count // 2 :] = sound[: count - count // 2]  # recordings that occur twice must tie
    sets = {"satellite": image, "audio": sound, "audio_caption": text, "image_caption": image_caption}
    values = {f"loss_{name}": rows for name, rows in sets.items()}
    both = reference.unit(reference.unit(sound) + reference.unit(text))
    return {
        **values,
        "loss_values": reference.losses(image, sound, text, image_caption),
        "retrieval_i2s": _metrics(image, sound),
        "retrieval_t2i": _metrics(text, image),
        "retrieval_i2st": _metrics(image, both),
        "retrieval_it2s": _metrics(reference.unit(reference.unit(image) + reference.unit(text)), sound),
    }


def _metrics(queries: Array, gallery: Array) -> list[float]:
    """R@10% and median rank, every row ranked on its own; products rounded so that equal rows tie."""
    ranks = []
    for index, query in enumerate(reference.unit(queries)):
        scores = [round(math.fsum(query * row), 12) for row in reference.unit(gallery)]
        ranks.append(rankdata([-score for score in scores])[index])
    return [float(np.mean(np.array(ranks) * 10 < len(ranks))), float(np.median(ranks))]
