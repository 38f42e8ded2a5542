"""Recordings: formats, resampling, the span that is taken, and files that are none."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import made_inputs
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared_folder

from sat2sound.errors import InvalidInput
from sat2sound.preprocessing import SAMPLE_RATE, SECONDS, Limits, decode_audio, prepare_audio

SAMPLES = 320_000
Floats = npt.NDArray[np.float32]


def written(samples: npt.NDArray[Any], rate: int, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def noise(seconds: float, rate: int, channels: int = 1) -> Floats:
    shape = (round(seconds * rate), channels) if channels > 1 else round(seconds * rate)
    values: Floats = np.random.Generator(np.random.PCG64(4)).standard_normal(shape, dtype=np.float32)
    return np.asarray(0.1 * values, np.float32)


def tone(seconds: float, rate: int) -> Floats:
    return np.asarray(0.5 * np.sin(2 * np.pi * 1000 / rate * np.arange(round(seconds * rate))), np.float32)


def wav(channels: int = 1, rate: int = 16_000, frames: int = 16_000, claimed: int | None = None) -> bytes:
    """16-bit silence with any header. claimed: bytes of sound that the header promises."""
    size = frames * channels * 2
    claimed = size if claimed is None else claimed
    layout = struct.pack("<IHHIIHH", 16, 1, channels, rate, (rate * channels * 2) % 2**32, channels * 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt "
        + layout
        + b"data"
        + struct.pack("<I", claimed)
        + bytes(size)
    )


def flac_claiming(samples: int, data: bytes) -> bytes:
    """The FLAC file with another total in its header; 0 says that it is unknown."""
    fields = int.from_bytes(data[18:26], "big")
    return data[:18] + (fields >> 36 << 36 | samples).to_bytes(8, "big") + data[26:]


def test_constants() -> None:
    assert (SAMPLE_RATE, SECONDS) == (32_000, 10)


def test_samples_at_32_khz_are_kept() -> None:
    samples = noise(14.2, 32_000)
    result = decode_audio(written(samples, 32_000, subtype="FLOAT"), Limits())
    assert result.shape == (SAMPLES,)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, samples[:SAMPLES])
    shifted = decode_audio(written(samples, 32_000, subtype="FLOAT"), Limits(), 2.5)
    np.testing.assert_array_equal(shifted, samples[80_000:400_000])


def test_short_recordings_are_zero_padded_at_the_end() -> None:
    samples = noise(3.7, 32_000)
    result = decode_audio(written(samples, 32_000, subtype="FLOAT"), Limits())
    np.testing.assert_array_equal(result[: len(samples)], samples)
    assert not result[len(samples) :].any()
    tenth = decode_audio(written(noise(0.1, 32_000), 32_000), Limits())
    assert np.flatnonzero(tenth).max() == 3199


def test_channels_are_averaged() -> None:
    samples = noise(2, 32_000, channels=5)
    result = decode_audio(written(samples, 32_000, subtype="FLOAT"), Limits())
    assert np.abs(result[:64_000] - samples.mean(axis=1)).max() < 1e-7


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000, 44_101])
def test_resampling(rate: int) -> None:
    result = decode_audio(written(tone(12, rate), rate, subtype="FLOAT"), Limits())
    assert np.abs(result - tone(10, SAMPLE_RATE))[1000:].max() < 2e-3


@pytest.mark.parametrize("rate", [44_100, 48_000, 11_025])
@pytest.mark.parametrize("offset", [0.0, 0.3, 1.0, 7.25])
def test_the_span_is_that_of_the_resampled_whole(rate: int, offset: float) -> None:
    samples = noise(20, rate)
    whole = soxr.resample(samples, rate, SAMPLE_RATE)
    result = decode_audio(written(samples, rate, subtype="FLOAT"), Limits(), offset)
    start = round(offset * rate)
    if start * SAMPLE_RATE % rate == 0:
        first = start * SAMPLE_RATE // rate
        assert np.abs(result - whole[first : first + SAMPLES]).max() < 1e-4
    else:  # between two samples
        assert np.abs(result).std() == pytest.approx(np.abs(whole[:SAMPLES]).std(), rel=0.05)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_32"),
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAV", "ULAW"),
        ("WAV", "MS_ADPCM"),
        ("WAVEX", "PCM_16"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("AIFF", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_formats(kind: str, subtype: str) -> None:
    data = written(tone(11, 48_000), 48_000, kind, subtype)
    for offset in (0.0, 0.25):
        result = decode_audio(data, Limits(), offset)
        kept = result[3200:-3200]  # lossy formats fade in
        spectrum = np.abs(np.fft.rfft(kept * np.hanning(len(kept))))
        assert spectrum.argmax() * SAMPLE_RATE / len(kept) == pytest.approx(1000, abs=1)
        assert np.sqrt(2) * kept.std() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_only_the_span_of_a_long_recording_is_decoded(kind: str) -> None:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 8000, 1, format=kind) as file:
        for second in range(600):
            file.write(tone(1, 8000) * (1.0 if second >= 595 else 0.0))
    data = buffer.getvalue()
    started = time.process_time()
    start, end = decode_audio(data, Limits()), decode_audio(data, Limits(), 590.0)
    assert time.process_time() - started < 1.0
    assert np.abs(start).max() < 1e-3
    assert np.abs(end[:150_000]).max() < 0.01
    assert np.abs(end[170_000:310_000]).max() == pytest.approx(0.5, abs=0.05)


def test_float_recordings_beyond_full_scale_stay_finite() -> None:
    loud = written(np.full(32_000, 1e38, np.float32), 32_000, subtype="FLOAT")
    assert decode_audio(loud, Limits()).max() == 64.0
    assert np.isfinite(prepare_audio(loud, Limits())).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(bad: float) -> None:
    samples = noise(8, 32_000, channels=2)
    samples[200_000, 1] = bad
    with pytest.raises(InvalidInput, match="samples that are NaN or infinite"):
        decode_audio(written(samples, 32_000, subtype="FLOAT"), Limits())


def test_headers_that_promise_too_much() -> None:
    assert decode_audio(wav(claimed=2**32 - 1), Limits()).shape == (SAMPLES,)
    flac = written(tone(4, 32_000), 32_000, "FLAC")
    expected = decode_audio(flac, Limits())
    for claimed in (0, 128_001, 32_000 * 800):
        np.testing.assert_array_equal(decode_audio(flac_claiming(claimed, flac), Limits()), expected)
    with pytest.raises(InvalidInput, match=r"lasts 2147483\.648 seconds; expected 0\.05 to 900"):
        decode_audio(flac_claiming(2**36 - 1, flac), Limits())
    with pytest.raises(InvalidInput, match=r"ends before 300 seconds|can be decoded"):
        decode_audio(flac_claiming(32_000 * 800, flac), Limits(), 300.0)


def test_many_channels_at_a_high_rate_do_not_fill_the_memory() -> None:
    data = written(np.zeros((655_350 * 11, 8), np.int16), 655_350, "FLAC")
    tracemalloc.start()
    assert not decode_audio(data, Limits()).any()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 * 1024 * 1024  # 8 channels at once would take 210 MB


GOOD = made_inputs.recording(2.0)
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the recording is empty"),
    "text": (b"birds singing\n" * 100, "not a recording that can be decoded .*expected one WAV, FLAC, Ogg or MP3"),
    "image": (made_inputs.encoded(made_inputs.picture(), "JPEG"), "not a recording"),
    "WebP, which is RIFF too": (made_inputs.encoded(made_inputs.picture(), "WEBP"), "not a recording"),
    "MP4": (b"\0\0\0\x20ftypM4A " + bytes(500), "not a recording"),
    "AAC": (b"\xff\xf1\x50\x80" + bytes(500), "not a recording"),
    "WAV header only": (GOOD[:20], "not a recording"),
    "no samples": (made_inputs.recording(0.0), r"lasts 0\.000 seconds"),
    "0.02 seconds": (made_inputs.recording(0.02), r"lasts 0\.020 seconds; expected 0\.05 to 900 seconds"),
    "16 minutes": (written(np.zeros(960 * 8000, np.int16), 8000, "FLAC"), r"lasts 960\.000 seconds"),
    "0 channels": (wav(channels=0), "not a recording"),
    "17 channels": (wav(channels=17), "has 17 channels; expected 1 to 16"),
    "64 channels": (wav(channels=64), "has 64 channels; expected 1 to 16"),
    "0 Hz": (wav(rate=0), "not a recording"),
    "1 Hz": (wav(rate=1), "sample rate is 1 Hz; expected 1000 to 768000 Hz"),
    "2 GHz": (wav(rate=2**31 - 1), "sample rate is 2147483647 Hz"),
    "too large": (GOOD + bytes(32 * 1024 * 1024), r"the encoded recording has 32\.1 MiB; expected at most 32 MiB"),
    "another format": (written(np.zeros(8000, np.int16), 8000, "AU"), "not a recording"),
    "Apple's": (written(np.zeros(8000, np.int16), 8000, "CAF"), "not a recording"),
}


@pytest.mark.parametrize(("data", "said"), REFUSED.values(), ids=list(REFUSED))
def test_refused(data: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        decode_audio(data, Limits())
    assert len(str(caught.value)) < 400
    assert "object at 0x" not in str(caught.value)


@pytest.mark.parametrize("offset", [-1.0, 2.0, 1e30, float("nan"), float("inf")])
def test_offsets(offset: float) -> None:
    with pytest.raises(InvalidInput, match=r"OFFSET_SECONDS is .*; expected 0 up to .* 2\.000 seconds"):
        decode_audio(GOOD, Limits(), offset)
    assert decode_audio(GOOD, Limits(), 1.99).any()


def test_threads() -> None:
    files = [
        written(tone(3, rate), rate, kind)
        for kind, rate in (("WAV", 8000), ("FLAC", 44_100), ("OGG", 48_000), ("MP3", 32_000))
    ]
    alone = [decode_audio(data, Limits()) for data in files]

    def same(turn: int) -> bool:
        with pytest.raises(InvalidInput):
            decode_audio(files[turn % 4][: 10 + turn], Limits())
        return bool((decode_audio(files[turn % 4], Limits()) == alone[turn % 4]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(same, range(24)))


def test_real_recordings() -> None:
    paths = sorted(shared_folder("data", "audio").rglob("*.ogg"))[::12]
    assert len(paths) > 15
    for path in paths:
        result = decode_audio(path.read_bytes(), Limits())
        assert result.shape == (SAMPLES,)
        assert 1e-5 < np.abs(result).max() < 4
        assert np.isfinite(prepare_audio(path.read_bytes(), Limits())).all()


SEEDS = [
    written(noise(0.4, 8000), 8000, kind, subtype)
    for kind, subtype in (("WAV", None), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("RF64", None), ("W64", None))
] + [written(noise(0.4, 8000), 8000, kind) for kind in ("FLAC", "OGG", "MP3", "AIFF")]


def decode_or_refuse(data: bytes, offset: float) -> None:
    try:
        samples = decode_audio(data, Limits(), offset)
    except InvalidInput as error:
        refused: InvalidInput | None = error
    else:
        refused = None
        assert samples.shape == (SAMPLES,)
        assert np.isfinite(samples).all()
    assert refused is None or (refused.problem and refused.expected and refused.fix and len(str(refused)) < 500)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400), st.sampled_from([b"", *(seed[:40] for seed in SEEDS), b"ID3", b"\xff\xfb"]))
def test_random_bytes(data: bytes, beginning: bytes) -> None:
    decode_or_refuse(beginning + data, 0.0)


@settings(deadline=None, max_examples=250)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=5)), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.2]),
)
def test_altered_files(data: bytes, changes: list[tuple[float, bytes]], offset: float) -> None:
    for place, new in changes:
        at = int(place**3 * len(data))  # mostly near the beginning, where the headers are
        data = data[:at] + new + data[at + len(new) :]
    decode_or_refuse(data, offset)
