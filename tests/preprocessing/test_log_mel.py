"""Log-mel: the published numbers, the definition, speed."""

from __future__ import annotations

import json
import time

import numpy as np
import numpy.typing as npt
import pytest
from shared_data import shared_folder

from sat2sound.preprocessing import Limits, log_mel, prepare_audio
from sat2sound.preprocessing.log_mel import hertz_to_mel, mel_bands, mel_to_hertz

SAMPLES = 320_000


def test_log_mel_equals_the_published_numbers() -> None:
    folder = shared_folder("parity")
    expected = np.load(folder / "expected.npz")
    entries = json.loads((folder / "manifest.json").read_text())["audio"]
    assert len(entries) >= 3
    for index, entry in enumerate(entries):
        result = prepare_audio((folder / entry["file"]).read_bytes(), Limits())
        assert result.shape == (1, 1001, 64)
        assert result.dtype == np.float32
        assert np.abs(result[0, ::7] - expected[f"aud{index}_mel"]).max() <= 1e-3


def noise() -> npt.NDArray[np.float32]:
    return (0.1 * np.random.Generator(np.random.PCG64(2)).standard_normal(SAMPLES)).astype(np.float32)


def band_corners() -> npt.NDArray[np.float64]:
    lowest, highest = hertz_to_mel(np.array([50.0, 14_000.0]))
    return mel_to_hertz(np.linspace(lowest, highest, 66))


def slowly(waveform: npt.NDArray[np.float32], frame: int) -> npt.NDArray[np.float64]:
    """One frame straight from the definition, in float64, without any of the module's shortcuts."""
    at = np.abs(np.arange(frame * 320 - 512, frame * 320 + 512))
    at = np.where(at >= SAMPLES, 2 * (SAMPLES - 1) - at, at)  # reflection, without repeating the edge
    window = np.sin(np.pi * np.arange(1024) / 1024) ** 2
    power = np.abs(np.fft.fft(waveform.astype(np.float64)[at] * window)[:513]) ** 2
    corners = band_corners()
    mel = np.zeros(64)
    for band in range(64):
        low, centre, high = corners[band : band + 3]
        for bin_ in range(513):
            hertz = bin_ * 32_000 / 1024
            height = min((hertz - low) / (centre - low), (high - hertz) / (high - centre))
            mel[band] += power[bin_] * max(0.0, height) * 2 / (high - low)
    return 10 * np.log10(np.maximum(mel, 1e-10))


def test_quiet_bands_beside_a_loud_tone() -> None:
    time_ = np.arange(SAMPLES) / 32_000
    sweep = (0.5 * np.sin(2 * np.pi * (200 + 500 * time_) * time_)).astype(np.float32)
    found = log_mel(sweep)[0]
    for frame in range(10, 1000, 90):
        assert np.abs(found[frame] - slowly(sweep, frame)).max() < 1e-4


@pytest.mark.parametrize("frame", [0, 1, 2, 31, 32, 500, 999, 1000])
def test_definition(frame: int) -> None:
    waveform = noise()
    assert np.abs(log_mel(waveform)[0, frame] - slowly(waveform, frame)).max() < 1e-3


def test_mel_scale() -> None:
    # Slaney: 3 mel per 200 Hz up to 1 kHz = 15 mel, then 27 mel per factor 6.4
    assert hertz_to_mel(np.array([0.0, 200.0, 1000.0, 6400.0])).tolist() == pytest.approx([0, 3, 15, 42])
    hertz = np.linspace(0, 16_000, 400)
    assert np.abs(mel_to_hertz(hertz_to_mel(hertz)) - hertz).max() < 1e-9


def test_bands() -> None:
    bands = mel_bands()
    assert (bands.bins.start, bands.bins.stop) == (2, 448)  # 62.5 Hz and 13,968.75 Hz
    assert np.diff(bands.starts).min() >= 1
    assert bands.rising.min() >= 0
    assert bands.falling.min() >= 0


def test_a_tone_is_loudest_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 1000 / 32_000 * np.arange(SAMPLES)).astype(np.float32)
    corners = band_corners()
    loudest = log_mel(tone)[0].argmax(axis=1)
    assert set(loudest[2:-2].tolist()) == {int(np.abs(corners[1:-1] - 1000).argmin())}


def test_silence_and_full_scale() -> None:
    assert np.abs(log_mel(np.zeros(SAMPLES, np.float32)) + 100).max() < 1e-4
    loud = log_mel(np.full(SAMPLES, 64.0, np.float32))
    assert np.isfinite(loud).all()


def test_the_waveform_is_not_changed() -> None:
    waveform = noise()
    before = waveform.copy()
    assert (log_mel(waveform) == log_mel(waveform)).all()
    np.testing.assert_array_equal(waveform, before)


@pytest.mark.parametrize("shape", [(0,), (319_999,), (1, SAMPLES)])
def test_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(320000,\)"):
        log_mel(np.zeros(shape, np.float32))


def test_speed() -> None:
    waveform = noise()
    log_mel(waveform)
    times = []
    for _ in range(15):
        started = time.thread_time()
        log_mel(waveform)
        times.append(time.thread_time() - started)
    assert min(times) < 0.015
