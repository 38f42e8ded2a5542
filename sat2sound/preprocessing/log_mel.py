"""Log-mel spectrogram of the audio branch, in numpy (MODEL.md, audio branch)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sat2sound.contract import MEL_BINS
from sat2sound.preprocessing.audio import SAMPLE_RATE, SAMPLES, Waveform, decode_audio
from sat2sound.preprocessing.limits import Limits

WINDOW = 1024
HOP = 320
LOWEST_HERTZ, HIGHEST_HERTZ = 50.0, 14_000.0
FLOOR = 1e-10  # -100 dB
_BLOCK = 32  # frames at a time: they stay in the processor's cache

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


@dataclass(frozen=True)
class MelBands:
    """Triangular filters of equal area (Slaney's normalisation), 50..14,000 Hz at 32 kHz.

    Each frequency bin lies between two neighbouring corners, so that it counts towards two bands at most: the one whose
    rising slope it is on and the one whose falling slope it is on. bins: those that count at all. starts: the first bin
    after each corner, counted from bins.start; rising, falling: float32, weights of the bins.
    """

    bins: slice
    starts: npt.NDArray[np.intp]
    rising: npt.NDArray[np.float32]
    falling: npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def mel_bands() -> MelBands:
    """The filters of the audio branch."""
    ends = hertz_to_mel(np.array([LOWEST_HERTZ, HIGHEST_HERTZ]))
    corners = mel_to_hertz(np.linspace(ends[0], ends[1], MEL_BINS + 2))
    hertz = np.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    between = np.searchsorted(corners, hertz, side="right") - 1
    counted = np.flatnonzero((between >= 0) & (between <= MEL_BINS))
    bins = slice(int(counted[0]), int(counted[-1]) + 1)
    hertz, between = hertz[bins], between[bins]
    rise = (hertz - corners[between]) / (corners[between + 1] - corners[between])
    heights = np.concatenate(
        [[0.0], 2.0 / (corners[2:] - corners[:-2]), [0.0]]
    )  # none before the first, after the last
    return MelBands(
        bins,
        np.searchsorted(between, np.arange(MEL_BINS + 1)),
        (rise * heights[between + 1]).astype(np.float32),
        ((1.0 - rise) * heights[between]).astype(np.float32),
    )


@lru_cache(maxsize=1)
def _hann() -> npt.NDArray[np.float64]:
    """In float64, and with it the transform: in float32 the quiet bands beside a loud tone are off by 0.02 dB."""
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW))


def log_mel(waveform: Waveform) -> npt.NDArray[np.float32]:
    """Log-mel power spectrogram in dB.

    waveform: float32 [320000], 32 kHz. Returns float32 [1, 1001, 64] = (channel, frames of 10 ms, mel bands): centred
    STFT with reflected edges, periodic Hann window of 1,024 samples, hop 320, power, 10 log10(max(x, 1e-10)).
    Raises ValueError for another shape.
    """
    if waveform.shape != (SAMPLES,):
        raise ValueError(f"a waveform of shape {waveform.shape}; expected ({SAMPLES},): 10 seconds at 32 kHz, mono")
    padded = np.pad(waveform, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    mel = np.empty((len(frames), MEL_BINS), dtype=np.float32)
    for start in range(0, len(frames), _BLOCK):
        block = slice(start, start + _BLOCK)
        mel[block] = _mel_power(np.fft.rfft(frames[block] * _hann(), axis=-1))
    decibels = 10.0 * np.log10(np.maximum(mel, np.float32(FLOOR)))
    return np.asarray(decibels[None], dtype=np.float32)


def _mel_power(spectrum: npt.NDArray[np.complexfloating[Any, Any]]) -> npt.NDArray[np.float32]:
    """Power in each band: complex [n, 513] -> float32 [n, 64].

    Sums instead of a matrix product: that would wake the threads of the BLAS library for a tiny amount of work, and on
    a server whose cores are busy they take ten times longer to meet than the work takes.
    """
    bands = mel_bands()
    counted = spectrum[:, bands.bins]
    power = np.asarray(counted.real**2 + counted.imag**2, dtype=np.float32)
    rising = np.add.reduceat(power * bands.rising, bands.starts, axis=1)[:, :-1]
    return np.asarray(rising + np.add.reduceat(power * bands.falling, bands.starts, axis=1)[:, 1:])


def prepare_audio(data: bytes, limits: Limits, offset_seconds: float = 0.0) -> npt.NDArray[np.float32]:
    """Encoded recording -> float32 [1, 1001, 64]. Arguments and errors as `decode_audio`."""
    return log_mel(decode_audio(data, limits, offset_seconds))
