"""Ten-second sounds as soundscapes have them: wind, waves, birds, traffic, a horn, rain. Computed, never recorded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sat2sound.preprocessing.audio import SAMPLE_RATE, SAMPLES

Waveforms = npt.NDArray[np.float32]
_Sound = Callable[[np.random.Generator], npt.NDArray[np.float64]]


def recordings(count: int, random: np.random.Generator) -> Waveforms:
    """float32 [count, 320000], 32 kHz mono, within -1..1: mixes of one to three sounds at different levels."""
    return np.stack([_mix(random) for _ in range(count)])


def _mix(random: np.random.Generator) -> npt.NDArray[np.float32]:
    chosen = random.permutation(len(_SOUNDS))[: random.integers(1, 4)]
    total = sum((random.uniform(0.2, 1.0) * _SOUNDS[index](random) for index in chosen), np.zeros(SAMPLES))
    level = 10 ** random.uniform(-2.0, -0.2)
    return np.asarray(level * total / np.abs(total).max(), dtype=np.float32)


def _coloured(random: np.random.Generator, slope: float) -> npt.NDArray[np.float64]:
    """Noise whose spectrum falls with frequency to the power of `slope`, largest value 1."""
    spectrum = np.fft.rfft(random.standard_normal(SAMPLES))
    hertz = np.fft.rfftfreq(SAMPLES, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / np.maximum(hertz, 20.0) ** slope, SAMPLES)
    return np.asarray(noise / np.abs(noise).max())


def _seconds() -> npt.NDArray[np.float64]:
    return np.arange(SAMPLES) / SAMPLE_RATE


def _wind(random: np.random.Generator) -> npt.NDArray[np.float64]:
    return _coloured(random, 1.0)


def _waves(random: np.random.Generator) -> npt.NDArray[np.float64]:
    period = random.uniform(3.0, 8.0)
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * (_seconds() / period + random.random()))
    return _coloured(random, 0.5) * swell**2


def _rain(random: np.random.Generator) -> npt.NDArray[np.float64]:
    return _coloured(random, 0.0)


def _traffic(random: np.random.Generator) -> npt.NDArray[np.float64]:
    passing = np.exp(-(((_seconds() - random.uniform(2, 8)) / random.uniform(0.7, 2.5)) ** 2))
    return _coloured(random, 0.8) * (0.2 + passing)


def _horn(random: np.random.Generator) -> npt.NDArray[np.float64]:
    pitch, time = random.uniform(90, 500), _seconds()
    tone = np.sin(2 * np.pi * pitch * time) + 0.5 * np.sin(4 * np.pi * pitch * time)
    return np.asarray(tone * (np.sin(2 * np.pi * time / random.uniform(2, 6)) > 0.3))


def _birds(random: np.random.Generator) -> npt.NDArray[np.float64]:
    total = np.zeros(SAMPLES)
    for _ in range(random.integers(5, 40)):
        length = int(random.uniform(0.05, 0.3) * SAMPLE_RATE)
        start = int(random.integers(0, SAMPLES - length))
        time = np.arange(length) / SAMPLE_RATE
        pitch = random.uniform(2000, 8000) + random.uniform(-8000, 8000) * time
        total[start : start + length] += np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE) * np.hanning(length)
    return total


_SOUNDS: tuple[_Sound, ...] = (_wind, _waves, _rain, _traffic, _horn, _birds)
