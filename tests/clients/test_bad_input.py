"""Bad input against the running server: served, or refused with what was wrong, what is allowed and what to do."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import made_inputs
import numpy as np
import pytest
from PIL import Image

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.errors import InvalidRequest, RequestTooLarge
from sat2sound.clients.inputs import bytes_array
from sat2sound.contract import CONDITIONS
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import Conditions

MEBIBYTE = 1024 * 1024
GOOD = made_inputs.encoded(made_inputs.picture())
JPEG = made_inputs.encoded(made_inputs.picture(), "JPEG", quality=90)


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Sat2SoundClient]:
    with Sat2SoundClient(server.grpc_url) as connected:
        yield connected


@pytest.fixture(autouse=True)
def still_alive(client: Sat2SoundClient) -> Iterator[None]:
    """After each bad input, the server answers a good one."""
    yield
    assert client.connection.is_ready("embed_satellite", Deadline(10))
    assert np.linalg.norm(client.embed_satellite(GOOD)) == pytest.approx(1, abs=1e-5)


def rotated() -> bytes:
    image = made_inputs.picture()
    image.getexif()[0x0112] = 6
    return made_inputs.encoded(image, "JPEG", exif=image.getexif())


def sixteen_bit() -> Image.Image:
    return Image.fromarray(np.asarray(made_inputs.picture().convert("L")).astype(np.uint16) * 257)


REFUSED_IMAGES = {
    "nothing": (b"", "empty"),
    "text": (b"hello, I am no image", "not an image that can be read"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image that can be read"),
    "gif": (made_inputs.encoded(made_inputs.picture(), "GIF"), "not an image that can be read"),
    "truncated jpeg": (JPEG[: len(JPEG) // 2], "damaged or incomplete"),
    "truncated png": (GOOD[: len(GOOD) // 2], "damaged or incomplete"),
    "header only": (JPEG[:20], "damaged|not an image"),
    "1 x 1": (made_inputs.encoded(Image.new("RGB", (1, 1))), "1 x 1 pixels"),
    "20,000 x 20,000": (made_inputs.encoded(Image.new("1", (20_000, 20_000))), "20000 x 20000 pixels"),
    "bomb": (made_inputs.png(60_000, 60_000, data=bytes(60_001 * 50)), "60000 x 60000 pixels"),
    "text bomb": (
        made_inputs.png(64, 64, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(60_000_000))), data=bytes(65 * 64)),
        "damaged or incomplete",
    ),
    "over 32 MiB": (b"\xff\xd8" + bytes(32 * MEBIBYTE), "32.0 MiB"),
}


@pytest.mark.parametrize(("data", "said"), REFUSED_IMAGES.values(), ids=list(REFUSED_IMAGES))
def test_refused_images(client: Sat2SoundClient, data: bytes, said: str) -> None:
    for ask in (client.embed_satellite, client.retrieve_sounds):
        with pytest.raises(InvalidRequest, match=said) as caught:
            ask(data)
        assert_helpful(caught.value)


SERVED_IMAGES = {
    "jpeg": JPEG,
    "webp": made_inputs.encoded(made_inputs.picture(), "WEBP"),
    "tiff": made_inputs.encoded(made_inputs.picture(), "TIFF"),
    "16-bit grey": made_inputs.encoded(
        Image.fromarray(np.asarray(made_inputs.picture().convert("L")).astype(np.uint16) * 257)
    ),
    "grey": made_inputs.encoded(made_inputs.picture().convert("L")),
    "black and white": made_inputs.encoded(made_inputs.picture().convert("1")),
    "palette": made_inputs.encoded(made_inputs.picture().convert("P")),
    "palette with transparency": made_inputs.encoded(made_inputs.picture().convert("P"), transparency=3),
    "cmyk": made_inputs.encoded(made_inputs.picture().convert("CMYK"), "JPEG"),
    "alpha": made_inputs.encoded(made_inputs.picture().convert("RGBA")),
    "rotated by exif": rotated(),
    "wide": made_inputs.encoded(made_inputs.picture().resize((4000, 16))),
    "large": made_inputs.encoded(made_inputs.picture().resize((3000, 3000)), "JPEG"),
}


@pytest.mark.parametrize("data", SERVED_IMAGES.values(), ids=list(SERVED_IMAGES))
def test_served_images(client: Sat2SoundClient, data: bytes) -> None:
    embedding = client.embed_satellite(data)
    assert np.isfinite(embedding).all()
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_exif_rotation_is_applied(client: Sat2SoundClient) -> None:
    upright = made_inputs.encoded(made_inputs.picture().rotate(-90), "JPEG")
    difference = np.abs(client.embed_satellite(rotated()) - client.embed_satellite(upright)).max()
    unrotated = np.abs(client.embed_satellite(JPEG) - client.embed_satellite(upright)).max()
    assert difference < unrotated / 3


NAN = float("nan")
REFUSED_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "latitude 91": ({"latitude": 91.0, "longitude": 0.0}, "latitude is 91; expected -90 to 90"),
    "longitude 181": ({"latitude": 0.0, "longitude": 181.0}, "longitude is 181; expected -180 to 180"),
    "latitude NaN": ({"latitude": NAN, "longitude": 10.0}, "longitude came without latitude"),
    "latitude alone": ({"latitude": 10.0}, "latitude came without longitude"),
    "month 13": ({"month": 13}, "month is 13; expected 1 to 12"),
    "month 0": ({"month": 0}, "month is 0; expected 1 to 12"),
    "hour 24": ({"hour": 24}, "hour is 24; expected 0 to 23"),
    "hour -2": ({"hour": -2}, "hour is -2; expected 0 to 23"),
    "satellite": ({"satellite": "hubble"}, "unknown satellite type 'hubble'; expected one of"),
    "long satellite": ({"satellite": "x" * 100_000}, "unknown satellite type"),
    "zoom level 0": ({"zoom_level": 0}, "zoom level is 0; expected 1 to 10"),
    "zoom level 11": ({"zoom_level": 11}, "zoom level is 11; expected 1 to 10"),
    "gsd 0": ({"gsd": 0.0}, "GSD is 0; expected"),
    "gsd and zoom level": ({"gsd": 0.3, "zoom_level": 1}, "GSD came together with"),
    "audio source": ({"audio_source": "radio"}, "unknown audio source 'radio'"),
    "caption source": ({"caption_source": "radio"}, "unknown caption source 'radio'"),
    "source that is not UTF-8": ({"audio_source": b"\xff\xfe"}, "not UTF-8"),
}


@pytest.mark.parametrize(("options", "said"), REFUSED_OPTIONS.values(), ids=list(REFUSED_OPTIONS))
def test_refused_options(client: Sat2SoundClient, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        client.embed_satellite(GOOD, **options)
    assert_helpful(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"latitude": NAN, "longitude": NAN}, {"month": -1, "hour": -1}, {"satellite": "", "zoom_level": -1, "gsd": NAN}],
    ids=["coordinates", "time", "scale"],
)
def test_missing_values_count_as_left_out(client: Sat2SoundClient, options: dict[str, Any]) -> None:
    assert np.abs(client.embed_satellite(GOOD, **options) - client.embed_satellite(GOOD)).max() < 1e-6


REFUSED_TEXTS = {
    "nothing": ("", "text is empty"),
    "blanks": (" \n\t ", "text is empty"),
    "50,000 characters": ("wave " * 10_000, "50,000 characters; expected at most 10,000"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED_TEXTS.values(), ids=list(REFUSED_TEXTS))
def test_refused_texts(client: Sat2SoundClient, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        client.embed_text(text)
    assert_helpful(caught.value)


def test_text_that_is_not_utf8(client: Sat2SoundClient) -> None:
    with pytest.raises(InvalidRequest, match="not UTF-8") as caught:
        client.connection.infer("embed_text", {"TEXT": bytes_array([b"caf\xe9"])}, Deadline(10))
    assert_helpful(caught.value)


@pytest.mark.parametrize("text", ["a", "鳥のさえずり", "🌊", "wave " * 1999, "a\0b"], ids=repr)
def test_served_texts(client: Sat2SoundClient, text: str) -> None:
    assert np.linalg.norm(client.embed_text(text)) == pytest.approx(1, abs=1e-5)


REFUSED_AUDIO: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "no samples": (made_inputs.recording(0.0), "lasts 0.000 seconds|no samples"),
    "0.02 seconds": (made_inputs.recording(0.02), r"0\.020 seconds; expected 0\.05 to 900"),
    "20 minutes": (made_inputs.recording(1200, rate=8000, kind="FLAC"), r"1200\.000 seconds; expected 0\.05 to 900"),
    "a text file": (b"birds singing\n" * 100, "not a recording that can be decoded"),
    "an image": (JPEG, "not a recording that can be decoded"),
    "half a flac header": (made_inputs.recording(1.0, kind="FLAC")[:20], "not a recording|no samples"),
    "over 32 MiB": (bytes(33 * MEBIBYTE), r"33\.0 MiB"),
}


@pytest.mark.parametrize(("data", "said"), REFUSED_AUDIO.values(), ids=list(REFUSED_AUDIO))
def test_refused_audio(client: Sat2SoundClient, data: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        client.embed_audio(data)
    assert_helpful(caught.value)


@pytest.mark.parametrize("offset", [-1.0, 2.0, NAN])
def test_refused_offsets(client: Sat2SoundClient, offset: float) -> None:
    with pytest.raises(InvalidRequest, match="OFFSET_SECONDS is") as caught:
        client.embed_audio(made_inputs.recording(2.0), offset_seconds=offset)
    assert_helpful(caught.value)


@pytest.mark.parametrize(
    ("seconds", "rate", "kind"),
    [(0.1, 16_000, "WAV"), (600.0, 8000, "FLAC"), (3.0, 44_100, "OGG"), (3.0, 44_100, "MP3")],
)
def test_served_audio(client: Sat2SoundClient, seconds: float, rate: int, kind: str) -> None:
    assert np.linalg.norm(client.embed_audio(made_inputs.recording(seconds, rate, kind))) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("top_k", [0, -3, 100_000])
def test_refused_top_k(client: Sat2SoundClient, top_k: int) -> None:
    with pytest.raises(InvalidRequest, match=f"TOP_K is {top_k}; expected 1 to") as caught:
        client.retrieve_sounds(GOOD, top_k=top_k)
    assert_helpful(caught.value)


def test_shapes_that_do_not_fit(client: Sat2SoundClient) -> None:
    with pytest.raises(InvalidRequest, match=r"EMBEDDING.*\[-1,\d+\]"):
        client.search_gallery(np.ones((1, 7), np.float32))
    with pytest.raises(InvalidRequest, match="QUERIES"):
        client.score_queries(GOOD, np.ones((2, 7), np.float32))


@pytest.mark.parametrize(
    ("model", "sent", "missing"),
    [
        ("embed_satellite", {"HOUR": np.zeros((1, 1), np.int32)}, "IMAGE"),
        ("retrieve_sounds", {"HOUR": np.zeros((3, 1), np.int32), "TOP_K": np.ones((3, 1), np.int32)}, "IMAGE"),
        ("embed_audio", {"OFFSET_SECONDS": np.zeros((1, 1), np.float32)}, "AUDIO"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_missing_input_is_named(client: Sat2SoundClient, model: str, sent: dict[str, Any], missing: str) -> None:
    with pytest.raises(InvalidRequest, match=f"the input {missing} is missing; expected") as caught:
        client.connection.infer(model, sent, Deadline(10))
    assert_helpful(caught.value)


@pytest.mark.parametrize(
    ("model", "sent", "missing"),
    [
        ("embed_text", {}, "TEXT"),
        ("score_queries", {"IMAGE": bytes_array([GOOD])}, "QUERIES"),
        ("score_queries", {"QUERIES": np.ones((1, 2, 256), np.float32)}, "IMAGE"),
        ("embed_pixels", {"GSD": np.ones((1, 1), np.float32)}, "PIXELS"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_missing_input_that_triton_notices(
    client: Sat2SoundClient, model: str, sent: dict[str, Any], missing: str
) -> None:
    with pytest.raises(InvalidRequest, match=rf"expected .*inputs.* but got \d inputs?.*{missing}"):
        client.connection.infer(model, sent, Deadline(10))


def test_300_megabytes_never_leave_the_client(client: Sat2SoundClient) -> None:
    with pytest.raises(RequestTooLarge, match="larger than max"):
        client.embed_satellite(bytes(300 * MEBIBYTE))


def test_neighbours_of_bad_requests_are_not_harmed(client: Sat2SoundClient) -> None:
    good = [made_inputs.encoded(made_inputs.picture(seed)) for seed in range(4)]
    expected = np.concatenate([client.embed_satellite(image) for image in good])
    bad: list[Callable[[], Any]] = [
        lambda: client.embed_satellite(b"not an image"),
        lambda: client.embed_satellite(JPEG[:2000]),
        lambda: client.embed_satellite(made_inputs.png(60_000, 60_000)),
        lambda: client.embed_satellite(GOOD, month=13),
        lambda: client.embed_satellite(GOOD, latitude=91.0, longitude=0.0),
        lambda: client.connection.infer("embed_satellite", {"MONTH": np.ones((1, 1), np.int32)}, Deadline(30)),
    ]

    def ask(index: int) -> Any:
        if index % 2:
            return client.embed_satellite(good[index // 2 % 4])
        with pytest.raises(InvalidRequest):
            bad[index // 2 % len(bad)]()
        return None

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(80)))
    for index, answer in enumerate(answers):
        if index % 2:
            assert np.abs(answer[0] - expected[index // 2 % 4]).max() < 1e-5
    assert sum(answer is not None for answer in answers) == 40


ZERO = np.zeros(256, np.float32)


def vectors(**replaced: np.ndarray) -> np.ndarray:
    """float32 [4, 256]: random directions, some rows replaced."""
    rows = np.random.default_rng(4).standard_normal((4, 256)).astype(np.float32)
    for name, row in replaced.items():
        rows[int(name.removeprefix("row"))] = row
    return rows


@pytest.mark.parametrize("bad", [ZERO, ZERO + NAN, np.append(ZERO[1:], np.inf)], ids=["zero", "NaN", "infinite"])
def test_vectors_without_direction(client: Sat2SoundClient, bad: np.ndarray) -> None:
    for ask in (client.search_gallery, lambda rows: client.score_queries(GOOD, rows)):
        with pytest.raises(InvalidInput, match=r"^item 1: .* zero or not finite") as refused:
            ask(vectors(row1=bad))
        assert not isinstance(refused.value, InvalidRequest)  # nothing was sent
    with pytest.raises(InvalidRequest, match=r"^item 1: EMBEDDING cannot be compared: .*not all zero") as caught:
        client.connection.infer("search_gallery", {"EMBEDDING": vectors(row1=bad)}, Deadline(10))
    assert caught.value.items.keys() == {1}
    assert_helpful(caught.value)
    sent = {"IMAGE": bytes_array([GOOD, GOOD]), "QUERIES": np.stack([vectors(), vectors(row0=bad, row3=bad)])}
    with pytest.raises(InvalidRequest, match=r"^item 1: QUERIES at position 0, 3 cannot be compared") as caught:
        client.connection.infer("score_queries", sent, Deadline(10))
    assert_helpful(caught.value)


def test_tiny_and_huge_vectors_have_a_direction(client: Sat2SoundClient) -> None:
    plain = client.score_queries(GOOD, vectors())
    for scale in (1e-30, 1e30):
        scaled = (vectors() * np.float32(scale)).astype(np.float32)
        np.testing.assert_allclose(client.score_queries(GOOD, scaled), plain, atol=1e-5)
        found, expected = client.search_gallery(scaled, top_k=3), client.search_gallery(vectors(), top_k=3)
        assert [[sound.id for sound in row] for row in found] == [[sound.id for sound in row] for row in expected]


def test_vectors_without_direction_do_not_harm_neighbours(client: Sat2SoundClient) -> None:
    expected = client.search_gallery(vectors(), top_k=5)

    def ask(index: int) -> Any:
        if index % 2:
            return client.search_gallery(vectors(), top_k=5)
        with pytest.raises(InvalidRequest, match="EMBEDDING cannot be compared"):
            client.connection.infer("search_gallery", {"EMBEDDING": vectors(row2=ZERO + NAN)}, Deadline(30))
        return expected

    with ThreadPoolExecutor(12) as pool:
        for answer in pool.map(ask, range(80)):
            for ranking, wanted in zip(answer, expected, strict=True):
                assert [sound.id for sound in ranking] == [sound.id for sound in wanted]
                np.testing.assert_allclose(
                    [sound.score for sound in ranking], [sound.score for sound in wanted], atol=1e-5
                )


PIXELS = np.asarray(made_inputs.picture().resize((224, 224)))[np.newaxis]
REFUSED_CONDITIONS: dict[str, tuple[dict[str, float], str]] = {
    "latitude 91": ({"latitude": 91.0, "longitude": 0.0}, "latitude is 91; expected -90 to 90"),
    "latitude alone": ({"latitude": 9.0}, "latitude came without longitude"),
    "month 13": ({"month": 13.0}, "month is 13; expected 1 to 12"),
    "month 6.5": ({"month": 6.5}, r"month is 6\.5; expected 1 to 12"),
    "hour 24": ({"hour": 24.0}, "hour is 24; expected 0 to 23"),
    "gsd 0": ({"gsd": 0.0}, "GSD is 0; expected"),
    "source 4": ({"audio_source": 4.0}, "audio source is 4; expected one of 0 "),
    "source 0.5": ({"caption_source": 0.5}, "caption source is 0.5; expected one of 0 "),
}


@pytest.mark.parametrize(("known", "said"), REFUSED_CONDITIONS.values(), ids=list(REFUSED_CONDITIONS))
def test_the_client_refuses_conditions_out_of_range(
    client: Sat2SoundClient, known: dict[str, float], said: str
) -> None:
    good, bad = Conditions(gsd=0.3), Conditions(**{"gsd": 0.3, **known})
    with pytest.raises(InvalidInput, match=f"^item 1: {said}") as refused:
        client.embed_pixels(np.repeat(PIXELS, 3, axis=0), [good, bad, good])
    assert not isinstance(refused.value, InvalidRequest)  # nothing was sent


def test_a_graph_takes_conditions_out_of_range_for_missing(client: Sat2SoundClient) -> None:
    native = client.embed_pixels(PIXELS, Conditions(gsd=0.3))
    assert np.array_equal(client.embed_pixels(PIXELS, Conditions(gsd=NAN)), native)
    assert np.abs(client.embed_pixels(PIXELS, Conditions(gsd=0.9)) - native).max() > 1e-3
    for value in (NAN, -1.0, 1e9, np.inf, -np.inf):
        odd = {tensor.name: np.full((1, 1), value, np.float32) for tensor in CONDITIONS}
        answer = client.connection.infer("embed_pixels", {"PIXELS": PIXELS, **odd}, Deadline(10))
        np.testing.assert_allclose(answer["EMBEDDING"], native, atol=1e-6)


def assert_helpful(error: InvalidRequest) -> None:
    """What was wrong, what is allowed, what to do."""
    assert error.status == "INVALID_ARGUMENT"
    assert "; expected " in str(error)
    assert "; to fix it, " in str(error)
    assert len(str(error)) < 600
    assert "ensemble" not in str(error)
    assert "Traceback" not in str(error)
