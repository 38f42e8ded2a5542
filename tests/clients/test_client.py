"""Every public ensemble through the client, against the real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import made_inputs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from shared_data import shared_folder

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import DeadlineExceeded, InvalidItems, InvalidRequest, RequestCancelled, RequestTooLarge
from sat2sound.configs import load_config
from sat2sound.contract import DEFAULT_TOP_K
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import Limits, SatelliteRequest, prepare_satellite

SAME = 1e-5  # the same numbers up to the order of additions


@pytest.fixture
def client(server: Any) -> Iterator[Sat2SoundClient]:
    with Sat2SoundClient(server.grpc_url) as connected:
        yield connected


def lengths(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(np.linalg.norm(embeddings, axis=1))


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    scene = np.asarray(made_inputs.picture())
    noise = np.random.Generator(np.random.PCG64(2)).integers(0, 256, scene.shape).astype(np.uint8)
    flat = np.broadcast_to(np.array([40, 90, 30], np.uint8), scene.shape)
    return [made_inputs.encoded(Image.fromarray(pixels)) for pixels in (scene, 255 - scene, scene // 3, noise, flat)]


@pytest.mark.parametrize("kind", ["made", "real"])
def test_images_as_bytes_and_paths(client: Sat2SoundClient, tmp_path: Path, kind: str) -> None:
    (made,) = made_inputs.image_files(tmp_path, 1)
    path = made if kind == "made" else shared_folder("data", "images", "beach", "beach85.jpg")
    embeddings = client.embed_satellite([path, str(path), path.read_bytes()])
    assert embeddings.shape == (3, load_config("starter").embedding)
    assert embeddings.dtype == np.float32
    assert np.abs(lengths(embeddings) - 1).max() < 1e-5
    assert np.abs(embeddings - embeddings[0]).max() < SAME
    assert np.abs(client.embed_satellite(path) - embeddings[:1]).max() < SAME


def test_prepared_pixels_are_the_same_door(client: Sat2SoundClient, images: list[bytes]) -> None:
    config = load_config("starter")
    prepared = [prepare_satellite(SatelliteRequest(image), config, Limits()) for image in images]
    pixels = np.stack([pixels for pixels, _ in prepared])
    by_pixels = client.embed_pixels(pixels, [conditions for _, conditions in prepared])
    assert np.abs(by_pixels - client.embed_satellite(images)).max() < SAME


def test_long_lists_are_split_and_keep_their_order(client: Sat2SoundClient, images: list[bytes]) -> None:
    order = np.random.Generator(np.random.PCG64(1)).integers(0, len(images), 37)  # more than two requests of 16
    single = np.concatenate([client.embed_satellite(image) for image in images])
    many = client.embed_satellite([images[index] for index in order])
    assert many.shape == (37, single.shape[1])
    assert np.abs(many - single[order]).max() < SAME
    for one, other in combinations(single, 2):  # different images differ, so the order was tested
        assert np.abs(one - other).max() > 3 * SAME


def test_options_per_image(client: Sat2SoundClient, images: list[bytes]) -> None:
    mixed = client.embed_satellite(images[:2], zoom_level=[None, 2], satellite=["aerial", None])
    plain = client.embed_satellite(images[0])
    zoomed = client.embed_satellite(images[1], zoom_level=2)
    assert np.abs(mixed - np.concatenate([plain, zoomed])).max() < SAME
    assert np.abs(zoomed - client.embed_satellite(images[1])).max() > 3 * SAME


def test_sounds_and_texts(client: Sat2SoundClient) -> None:
    wave = made_inputs.recording(12.0)
    sounds = client.embed_audio([wave, made_inputs.recording(3.0, kind="FLAC")])
    texts = client.embed_text(["waves on a beach", "traffic", "a"])
    for embeddings, count in ((sounds, 2), (texts, 3)):
        assert embeddings.shape[0] == count
        assert np.abs(lengths(embeddings) - 1).max() < 1e-5
    assert np.abs(client.embed_audio(wave, offset_seconds=0.0) - sounds[:1]).max() < SAME
    assert np.abs(client.embed_audio([wave, wave], offset_seconds=[0.0, 1.0]) - sounds[0]).max(axis=1).argmax() == 1
    # Alone or beside longer neighbours: an embedding does not depend on its batch.
    assert np.abs(client.embed_text("a") - texts[2:]).max() < SAME


def test_ranking_is_a_search_with_the_image_embedding(client: Sat2SoundClient, images: list[bytes]) -> None:
    ranked = client.retrieve_sounds(images[:3], top_k=7)
    searched = client.search_gallery(client.embed_satellite(images[:3]), top_k=7)
    for ranking, search in zip(ranked, searched, strict=True):
        assert [sound.rank for sound in ranking] == list(range(1, 8))
        scores = [sound.score for sound in ranking]
        assert scores == sorted(scores, reverse=True)
        assert [sound.id for sound in ranking] == [sound.id for sound in search]
        assert all(sound.caption for sound in ranking)
        assert len({sound.id for sound in ranking}) == 7
    assert len(client.retrieve_sounds(images[0])[0]) == DEFAULT_TOP_K
    (first,) = client.search_gallery(client.embed_text(ranked[0][0].caption), top_k=1)
    assert first[0].caption == ranked[0][0].caption  # a caption finds itself ...
    assert first[0].score == pytest.approx(1.0, abs=1e-4)  # ... with cosine 1


def test_query_scores_are_cosines(client: Sat2SoundClient, images: list[bytes]) -> None:
    queries = np.concatenate([client.embed_text(["birds", "traffic"]), client.embed_audio(made_inputs.recording(2.0))])
    cosines = client.embed_satellite(images) @ queries.T
    assert np.abs(client.score_queries(images, queries) - cosines).max() < SAME
    each = np.stack([np.roll(queries, index, axis=0) for index in range(len(images))])
    expected = np.stack([np.roll(row, index) for index, row in enumerate(cosines)])
    assert np.abs(client.score_queries(images, each) - expected).max() < SAME


def test_refused_items_leave_the_others_served(client: Sat2SoundClient, images: list[bytes]) -> None:
    reference = client.embed_satellite(images)
    mixed = [*images[:2], b"not an image", *images[2:], b""] * 3  # over several requests
    with pytest.raises(InvalidItems, match="6 of 21 items were refused") as caught:
        client.embed_satellite(mixed)
    bad = {2, 6, 9, 13, 16, 20}
    assert set(caught.value.items) == bad
    assert "not an image that can be read" in caught.value.items[2]
    assert "empty" in caught.value.items[6]
    served = caught.value.results
    assert set(np.flatnonzero(np.isnan(served).any(axis=1))) == bad
    good = np.delete(served, sorted(bad), axis=0)
    assert np.abs(good - np.concatenate([reference] * 3)).max() < SAME

    with pytest.raises(InvalidItems) as ranked:
        client.retrieve_sounds([images[0], b"no"], top_k=3)
    assert len(ranked.value.results[0]) == 3
    assert ranked.value.results[1] is None


def test_one_refused_image_says_why_without_an_index(client: Sat2SoundClient) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.embed_satellite(b"not an image")
    assert not isinstance(caught.value, InvalidItems)
    assert str(caught.value).startswith("the bytes are not an image")


def test_deadlines_are_kept(client: Sat2SoundClient, images: list[bytes]) -> None:
    client.embed_satellite(images[0])
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="raise the deadline"):
        client.embed_satellite(images * 20, deadline=0.05)
    assert time.monotonic() - start < 5
    assert client.embed_satellite(images[0]).shape[0] == 1  # the connection is as good as before


def test_too_large_for_a_message(server: Any) -> None:
    with Sat2SoundClient(server.grpc_url, max_message_bytes=100_000) as small:
        assert small.embed_text("waves").shape[0] == 1
        with pytest.raises(RequestTooLarge, match="raise max_message_bytes"):
            small.embed_satellite(bytes(200_000))


def test_many_threads_share_a_client(client: Sat2SoundClient, images: list[bytes]) -> None:
    expected = client.embed_satellite(images)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda index: client.embed_satellite(images[index % 5]), range(40)))
    for index, answer in enumerate(answers):
        assert np.abs(answer - expected[index % 5]).max() < SAME


def test_a_closed_client_says_so(server: Any) -> None:
    with Sat2SoundClient(server.grpc_url) as client:
        assert client.server_version().startswith("2.")
    with pytest.raises(RequestCancelled, match="is closed"):
        client.embed_text("waves")


def test_nothing_to_do_is_refused_before_it_is_sent(client: Sat2SoundClient, images: list[bytes]) -> None:
    with pytest.raises(InvalidInput, match="the list is empty"):
        client.embed_satellite([])
    with pytest.raises(InvalidInput, match="queries are"):
        client.score_queries(images[0], np.zeros((0, 256), np.float32))
