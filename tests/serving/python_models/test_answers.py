"""The python models in a real server: each request has its own answer or its own error."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import soundfile
from PIL import Image
from raw_client import Running, bytes_input, infer, pixel_inputs
from tiny_repository import ENTRIES, tiny_gallery
from tritonclient.utils import InferenceServerException

from sat2sound.preprocessing import Limits, prepare_audio
from sat2sound.serving.launcher import TritonServer

GALLERY = tiny_gallery()


def picture(seed: int = 0, side: int = 300) -> bytes:
    colour = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colour).save(buffer, "PNG")
    return buffer.getvalue()


def recording() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(32_000) / 10), 32_000, format="WAV")
    return buffer.getvalue()


def refusal(server: TritonServer, model: str, **inputs: np.ndarray) -> str:
    with pytest.raises(InferenceServerException) as caught:
        infer(server.grpc_url, model, inputs)
    return f"{caught.value.status()} {caught.value.message()}"


def test_bad_items_are_listed_by_index(tiny_server: TritonServer) -> None:
    message = refusal(
        tiny_server,
        "embed_satellite",
        IMAGE=bytes_input(picture(), b"text", b"", picture(1)),
        LATITUDE=np.array([[0], [0], [0], [91]], np.float32),
        LONGITUDE=np.zeros((4, 1), np.float32),
    )
    assert message.startswith("StatusCode.INVALID_ARGUMENT in ensemble 'embed_satellite', item 1: the bytes are not an")
    assert "; item 2: the image is empty" in message
    assert "; item 3: latitude is 91; expected -90 to 90" in message
    assert "item 0" not in message


def test_a_refused_request_harms_no_other_one(tiny_server: TritonServer) -> None:
    url = tiny_server.grpc_url
    expected = infer(url, "embed_satellite", {"IMAGE": bytes_input(picture())})["EMBEDDING"]
    blocking = Running(url, "satellite_encoder", pixel_inputs(1, gsd=500))
    time.sleep(0.1)
    requests = [Running(url, "embed_satellite", {"IMAGE": bytes_input(data)}) for data in [picture(), b"bad"] * 4]
    for good, bad in zip(requests[::2], requests[1::2], strict=True):
        np.testing.assert_allclose(good.result()["EMBEDDING"], expected, atol=1e-5)
        with pytest.raises(InferenceServerException, match="item 0: the bytes are not an image"):
            bad.result()
    blocking.result()


def test_sixteen_bad_items_fit_into_one_answer(tiny_server: TritonServer) -> None:
    message = refusal(tiny_server, "embed_satellite", IMAGE=bytes_input(*[b"\xff\xfe\x00\x01" * 5] * 16))
    assert all(f"item {index}: " in message for index in range(16))


@pytest.mark.parametrize("satellite", [b"\xff", "\N{SNOWMAN}".encode() * 3000])
def test_odd_names_are_refused_not_failed_at(tiny_server: TritonServer, satellite: bytes) -> None:
    message = refusal(tiny_server, "embed_satellite", IMAGE=bytes_input(picture()), SATELLITE=bytes_input(satellite))
    assert message.startswith("StatusCode.INVALID_ARGUMENT")


def test_prepared_pixels_are_those_of_the_library(tiny_server: TritonServer) -> None:
    outputs = infer(
        tiny_server.grpc_url, "satellite_preprocess", {"IMAGE": bytes_input(picture(), picture(1, side=256))}
    )
    assert outputs["PIXELS"].shape == (2, 224, 224, 3)
    assert outputs["PIXELS"].dtype == np.uint8
    assert outputs["GSD"].ravel().tolist() == pytest.approx([0.3, 0.3])
    for name in ("LATITUDE", "LONGITUDE", "MONTH", "HOUR", "AUDIO_SOURCE", "CAPTION_SOURCE"):
        assert np.isnan(outputs[name]).all()


def test_what_is_known_arrives_as_the_encoder_takes_it(tiny_server: TritonServer) -> None:
    outputs = infer(
        tiny_server.grpc_url,
        "satellite_preprocess",
        {
            "IMAGE": bytes_input(picture(), picture()),
            "SATELLITE": bytes_input(b"sentinel", b""),
            "ZOOM_LEVEL": np.array([[3], [-1]], np.int32),
            "LATITUDE": np.array([[51.5], [np.nan]], np.float32),
            "LONGITUDE": np.array([[-0.1], [np.nan]], np.float32),
            "MONTH": np.array([[7], [-1]], np.int32),
            "HOUR": np.array([[0], [23]], np.int32),
            "AUDIO_SOURCE": bytes_input(b"aporee", b""),
            "CAPTION_SOURCE": bytes_input(b"", b"qwen"),
        },
    )
    assert outputs["GSD"].ravel().tolist() == pytest.approx([30.0, 0.3])
    missing = np.nan
    known: dict[str, list[float]] = {
        "LATITUDE": [51.5, missing],
        "LONGITUDE": [-0.1, missing],
        "MONTH": [7, missing],
        "HOUR": [0, 23],
        "AUDIO_SOURCE": [2, missing],
        "CAPTION_SOURCE": [missing, 1],
    }
    for name, values in known.items():
        np.testing.assert_allclose(outputs[name].ravel(), np.array(values, np.float32), err_msg=name)


def test_spectrograms_are_those_of_the_library(tiny_server: TritonServer) -> None:
    inputs = {"AUDIO": bytes_input(recording(), recording()), "OFFSET_SECONDS": np.array([[0], [0.5]], np.float32)}
    outputs = infer(tiny_server.grpc_url, "audio_preprocess", inputs)
    expected = [prepare_audio(recording(), Limits(), offset) for offset in (0.0, 0.5)]
    # The server's numpy is another version than this test's, with another FFT.
    np.testing.assert_allclose(outputs["LOG_MEL"], np.stack(expected), atol=1e-3)


def test_bad_recordings_are_listed_by_index(tiny_server: TritonServer) -> None:
    message = refusal(tiny_server, "embed_audio", AUDIO=bytes_input(b"text", recording()))
    assert message.startswith("StatusCode.INVALID_ARGUMENT in ensemble 'embed_audio', item 0: ")
    assert "item 1" not in message


def test_texts_are_padded_to_the_smallest_length_that_fits(tiny_server: TritonServer) -> None:
    outputs = infer(tiny_server.grpc_url, "text_preprocess", {"TEXT": bytes_input(b"waves on a beach", b"birds")})
    assert outputs["INPUT_IDS"].shape == outputs["ATTENTION_MASK"].shape == (2, 16)
    assert outputs["INPUT_IDS"][:, :5].tolist() == [[2, 3, 4, 5, 0], [6, 0, 0, 0, 0]]
    assert outputs["ATTENTION_MASK"].sum(axis=1).tolist() == [4, 1]


def test_rows_become_captions(tiny_server: TritonServer) -> None:
    queries = GALLERY.embeddings[[7, 2]]
    outputs = infer(tiny_server.grpc_url, "search_gallery", {"EMBEDDING": queries})
    order = np.argsort(-queries @ GALLERY.embeddings.T, axis=1)[:, :10]
    assert outputs["IDS"].tolist() == [[f"tiny-{row}".encode() for row in rows] for rows in order]
    assert outputs["CAPTIONS"][0, 0] == b"sound number 7"
    assert outputs["SOUNDS"].tolist() == [[b""] * 10] * 2
    np.testing.assert_allclose(outputs["SCORES"][:, 0], 1.0, atol=1e-6)


@pytest.mark.parametrize("count", [1, ENTRIES])
def test_as_many_rows_as_asked_for(tiny_server: TritonServer, count: int) -> None:
    inputs = {"EMBEDDING": GALLERY.embeddings[:1], "TOP_K": np.full((1, 1), count, np.int32)}
    outputs = infer(tiny_server.grpc_url, "search_gallery", inputs)
    assert [outputs[name].shape for name in ("SCORES", "IDS", "CAPTIONS", "SOUNDS")] == [(1, count)] * 4


@pytest.mark.parametrize("counts", [(0, 0), (ENTRIES + 1,) * 2, (3, 4)])
def test_a_top_k_that_cannot_be_is_refused(tiny_server: TritonServer, counts: tuple[int, int]) -> None:
    top_k = np.array(counts, np.int32)[:, None]
    message = refusal(tiny_server, "search_gallery", EMBEDDING=GALLERY.embeddings[:2], TOP_K=top_k)
    assert message.startswith("StatusCode.INVALID_ARGUMENT in ensemble 'search_gallery', TOP_K ")


def rows(digest: bytes, row: int = 3) -> dict[str, np.ndarray]:
    """What `similarity` would hand to `gallery`."""
    return {
        "ROW_SCORES": np.zeros((1, ENTRIES), np.float32),
        "ROWS": np.full((1, ENTRIES), row, np.int64),
        "GALLERY_DIGEST": np.frombuffer(digest, np.uint8)[None],
    }


def test_rows_of_another_gallery_are_not_given_captions(tiny_server: TritonServer) -> None:
    assert infer(tiny_server.grpc_url, "gallery", rows(GALLERY.digest))["IDS"][0, 0] == b"tiny-3"
    message = refusal(tiny_server, "gallery", **rows(bytes(32)))
    assert message.startswith("StatusCode.INTERNAL gallery failed: GalleryMismatch: similarity ranks gallery 000000")


def test_an_unexpected_error_fails_its_request_and_not_the_model(tiny_server: TritonServer) -> None:
    message = refusal(tiny_server, "gallery", **rows(GALLERY.digest, row=10_000))
    assert message.startswith("StatusCode.INTERNAL gallery failed: IndexError: ")
    assert infer(tiny_server.grpc_url, "gallery", rows(GALLERY.digest))["IDS"][0, 0] == b"tiny-3"


def test_an_empty_batch_is_refused(tiny_server: TritonServer) -> None:
    for model, inputs in {
        "embed_text": {"TEXT": np.zeros((0, 1), np.object_)},
        "embed_pixels": pixel_inputs(0),
    }.items():
        with pytest.raises(InferenceServerException):
            infer(tiny_server.grpc_url, model, inputs)
    assert tiny_server.ready()
    assert infer(tiny_server.grpc_url, "embed_pixels", pixel_inputs(1))["EMBEDDING"].shape == (1, 256)
