"""What the real server answers equals what the torch library computes, on real files, for every ensemble."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import made_inputs
import numpy as np
import pytest
import torch
from shared_data import shared_folder

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.sample_scene import sample_scene_png
from sat2sound.gallery import Gallery, read_gallery
from sat2sound.models import Sat2Sound
from sat2sound.models.text_encoder import tokenizer_file
from sat2sound.preprocessing import Limits, SatelliteRequest, TextTokenizer, prepare_audio, prepare_satellite
from sat2sound.serving.launcher import TritonServer

TOLERANCE = 1e-3  # of unit embeddings
TEXTS = [
    "waves on a beach",
    "traffic",
    "A tractor works its way along the rows while larks sing, and far away a rooster crows twice.",
    "church bells, " * 200,
]


@pytest.fixture(scope="module")
def model() -> Sat2Sound:
    return Sat2Sound.from_checkpoint("starter")


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Sat2SoundClient]:
    with Sat2SoundClient(server.grpc_url) as connected:
        yield connected


@pytest.fixture(scope="module", params=["made", "real"])
def images(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Made by the tests themselves, and one of each scene of the shared data."""
    if request.param == "made":
        return made_inputs.image_files(tmp_path_factory.mktemp("images"), 17)  # more than one request holds
    return [sorted(scene.glob("*.jpg"))[90] for scene in sorted(shared_folder("data", "images").iterdir())]


@pytest.fixture(scope="module", params=["made", "real"])
def recordings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Made by the tests themselves, and one of each sound group of the shared data."""
    if request.param == "made":
        return made_inputs.recording_files(tmp_path_factory.mktemp("recordings"))
    folder = shared_folder("data")
    with (folder / "audio.csv").open(newline="") as file:
        chosen = {row["group"]: folder / row["path"] for row in csv.DictReader(file)}
    return [*chosen.values(), *sorted(shared_folder("parity").glob("*.flac"))]


@pytest.fixture(scope="module")
def gallery(repository: Path) -> Gallery:
    return read_gallery(repository / "gallery" / "1" / "gallery.parquet")


def library_satellite(
    model: Sat2Sound, images: list[Path], **known: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit embeddings, and the pixels and conditions that they came from."""
    prepared = [
        prepare_satellite(SatelliteRequest(path.read_bytes(), **known), model.config, Limits())  # type: ignore[arg-type]
        for path in images
    ]
    pixels = np.stack([entry for entry, _ in prepared])
    conditions = np.stack([entry.as_array() for _, entry in prepared])
    with torch.inference_mode():
        tokens = model.encode_satellite(torch.from_numpy(pixels), torch.from_numpy(conditions))
        return model.pool_satellite(tokens).numpy(), pixels, conditions


def library_text(model: Sat2Sound, texts: list[str]) -> np.ndarray:
    text = model.config.text
    tokenizer = TextTokenizer(tokenizer_file(text.encoder), text.max_tokens, text.buckets)
    ids, mask = (torch.from_numpy(array) for array in tokenizer.encode(texts, Limits()))
    with torch.inference_mode():
        return np.asarray(model.pool_text(model.encode_text(ids, mask), mask).numpy())


def test_embed_satellite_of_every_scene(model: Sat2Sound, client: Sat2SoundClient, images: list[Path]) -> None:
    served = client.embed_satellite(images)
    expected, _, _ = library_satellite(model, images)
    assert served.shape == (len(images), model.config.embedding)
    assert float(np.abs(served - expected).max()) <= TOLERANCE
    np.testing.assert_allclose(np.linalg.norm(served, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("known", [{"zoom_level": 3}, {"gsd": 0.6}, {"latitude": 36.0, "longitude": -121.9}])
def test_embed_satellite_with_options(
    model: Sat2Sound, client: Sat2SoundClient, images: list[Path], known: dict[str, float]
) -> None:
    served = client.embed_satellite(images[:4], **known)  # type: ignore[arg-type]
    expected, _, _ = library_satellite(model, images[:4], **known)
    assert float(np.abs(served - expected).max()) <= TOLERANCE


def test_embed_pixels(model: Sat2Sound, client: Sat2SoundClient, images: list[Path]) -> None:
    expected, pixels, conditions = library_satellite(model, images)
    assert float(np.abs(client.embed_pixels(pixels, conditions) - expected).max()) <= TOLERANCE


def test_embed_text(model: Sat2Sound, client: Sat2SoundClient) -> None:
    served = client.embed_text(TEXTS)
    expected = np.concatenate([library_text(model, [text]) for text in TEXTS])
    assert float(np.abs(served - expected).max()) <= TOLERANCE


def test_embed_audio_of_every_group(model: Sat2Sound, client: Sat2SoundClient, recordings: list[Path]) -> None:
    with torch.inference_mode():
        mels = torch.from_numpy(np.stack([prepare_audio(path.read_bytes(), Limits()) for path in recordings]))
        expected = model.pool_audio(model.encode_audio(mels)).numpy()
    assert float(np.abs(client.embed_audio(recordings) - expected).max()) <= TOLERANCE


def test_retrieval_and_search(model: Sat2Sound, client: Sat2SoundClient, images: list[Path], gallery: Gallery) -> None:
    embeddings, _, _ = library_satellite(model, images)
    scores = embeddings @ gallery.embeddings.T
    rankings = client.retrieve_sounds(images, top_k=25)
    searched = client.search_gallery(embeddings, top_k=25)
    for row, ranking, found in zip(scores, rankings, searched, strict=True):
        best = np.sort(row)[::-1][:25]
        for answer in (ranking, found):
            np.testing.assert_allclose([sound.score for sound in answer], best, atol=TOLERANCE)
            for sound in answer:
                entry = next(entry for entry in gallery.entries if entry.id == sound.id)
                assert sound.caption == entry.caption
                assert abs(sound.score - row[gallery.entries.index(entry)]) <= TOLERANCE


def test_score_queries(model: Sat2Sound, client: Sat2SoundClient, images: list[Path]) -> None:
    queries = library_text(model, TEXTS[:3])
    embeddings, _, _ = library_satellite(model, images[:2])
    for index in range(2):
        served = np.asarray(client.score_queries(images[index], queries)).reshape(-1)
        np.testing.assert_allclose(served, queries @ embeddings[index], atol=TOLERANCE)


# What the gallery holds of the sea and its beaches.
SEA = {
    *(f"beach-{number:03}" for number in range(1, 11)),
    "cliff-001",
    "lighthouse-001",
}


@pytest.mark.parametrize("kind", ["made", "real"])
def test_a_beach_sounds_like_the_sea(client: Sat2SoundClient, kind: str) -> None:
    image = sample_scene_png() if kind == "made" else shared_folder("data", "images", "beach", "beach85.jpg")
    (ranking,) = client.retrieve_sounds([image], top_k=5)
    if kind == "made":  # above the real one the starter puts a mangrove with its tides, close before the beaches
        assert next(iter(ranking)).id in SEA, [sound.caption for sound in ranking]
    assert sum(sound.id in SEA for sound in ranking) >= 4, [sound.caption for sound in ranking]
