"""Log-mel spectrogram of the audio branch, in numpy (MODEL.md, audio branch)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sat2sound.contract import MEL_BINS
from sat2sound.preprocessing.audio import SAMPLE_RATE, Waveform, decode_audio
from sat2sound.preprocessing.limits import Limits

WINDOW = 1024
HOP = 320
LOWEST_HERTZ, HIGHEST_HERTZ = 50.0, 14_000.0
FLOOR = 1e-10  # -100 dB

# Slaney's mel scale: linear below 1 kHz, logarithmic above (27 steps per factor 6.4)
_LINEAR_HERTZ = 200.0 / 3.0
_BREAK_HERTZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0


def hertz_to_mel(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney mel of frequencies in hertz."""
    above = _BREAK_HERTZ / _LINEAR_HERTZ + np.log(np.maximum(hertz, _BREAK_HERTZ) / _BREAK_HERTZ) / _LOG_STEP
    return np.where(hertz < _BREAK_HERTZ, hertz / _LINEAR_HERTZ, above)


def mel_to_hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Frequencies in hertz of Slaney mels."""
    above = _BREAK_HERTZ * np.exp(_LOG_STEP * (mel - _BREAK_HERTZ / _LINEAR_HERTZ))
    return np.where(mel < _BREAK_HERTZ / _LINEAR_HERTZ, mel * _LINEAR_HERTZ, above)


@lru_cache(maxsize=1)
def mel_filters() -> npt.NDArray[np.float32]:
    """Triangular filters of equal area (Slaney's normalisation): float32 [513, 64], 50..14,000 Hz at 32 kHz."""
    bins = np.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    ends = hertz_to_mel(np.array([LOWEST_HERTZ, HIGHEST_HERTZ]))
    corners = mel_to_hertz(np.linspace(ends[0], ends[1], MEL_BINS + 2))
    lower, centre, upper = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins[:, None] - lower) / (centre - lower)
    falling = (upper - bins[:, None]) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (upper - lower)), dtype=np.float32)


@lru_cache(maxsize=1)
def _hann() -> npt.NDArray[np.float32]:
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW), dtype=np.float32)


def log_mel(waveform: Waveform) -> npt.NDArray[np.float32]:
    """Log-mel power spectrogram in dB.

    waveform: float32 [320000], 32 kHz. Returns float32 [1, 1001, 64] = (channel, frames of 10 ms, mel bands): centred
    STFT with reflected edges, periodic Hann window of 1,024 samples, hop 320, power, 10 log10(max(x, 1e-10)).
    """
    padded = np.pad(waveform, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * _hann(), axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mel = power @ mel_filters()
    decibels = 10.0 * np.log10(np.maximum(mel, np.float32(FLOOR)))
    return np.asarray(decibels[None], dtype=np.float32)


def prepare_audio(data: bytes, limits: Limits, offset_seconds: float = 0.0) -> npt.NDArray[np.float32]:
    """Encoded recording -> float32 [1, 1001, 64]. Arguments and errors as `decode_audio`."""
    return log_mel(decode_audio(data, limits, offset_seconds))
