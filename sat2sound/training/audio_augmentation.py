"""Augmentation of recordings, on log-mel spectrograms: speed, placement, microphone, loudness, mixing, masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sat2sound.contract import MEL_BINS, MEL_FRAMES
from sat2sound.preprocessing.log_mel import HIGHEST_HERTZ, LOWEST_HERTZ, hertz_to_mel, mel_to_hertz

LogMel = npt.NDArray[np.float32]
Spectrogram = npt.NDArray[np.floating]
SILENCE = -100.0  # dB: what zero padding gives
_BITS = np.log2(10.0) / 10.0  # decibels as powers of two
_ENDS = hertz_to_mel(np.array([LOWEST_HERTZ, HIGHEST_HERTZ]))
_CENTRES = mel_to_hertz(np.linspace(_ENDS[0], _ENDS[1], MEL_BINS + 2)[1:-1])  # of the mel bands, in hertz
_CONTROLS = np.linspace(0, MEL_BINS - 1, 7)  # bands where a microphone's response is drawn


@dataclass(frozen=True)
class AudioAugmentation:
    """repeat, mix, mask: shares of recordings; loudness: largest change in dB; speed: largest change of speed, and of
    pitch with it, as exponent of e; equaliser: deviation in dB of a random microphone's response."""

    repeat: float = 0.4
    mix: float = 0.4
    mask: float = 0.8
    loudness: float = 10.0
    speed: float = 0.2
    equaliser: float = 4.0


def augment_recording(
    windows: LogMel, background: LogMel, settings: AudioAugmentation, random: np.random.Generator
) -> LogMel:
    """One random view of a recording: float32 [1001, 64] in dB.

    windows: float32 [n, 1001, 64], consecutive 10 s windows of one recording; background: the same of another recording
    of the same group, which is mixed in more quietly.
    """
    view: Spectrogram = _place(_change_speed(_sounding(windows), settings.speed, random), settings.repeat, random)
    if random.random() < settings.mix:
        quieter = _place(_sounding(background), settings.repeat, random) - random.uniform(3.0, 20.0)
        view = np.logaddexp2(view * _BITS, quieter * _BITS) / _BITS  # powers add, decibels do not
    view = np.maximum(view + random.uniform(-settings.loudness, settings.loudness), SILENCE)
    # Another slope and response, as other microphones and distances would give.
    tilt = np.linspace(-1, 1, MEL_BINS) * random.uniform(-4.0, 4.0)
    response = np.interp(np.arange(MEL_BINS), _CONTROLS, random.normal(0.0, 1.0, len(_CONTROLS)) * settings.equaliser)
    view = np.where(view > SILENCE, view + tilt + response, view)
    if random.random() < settings.mask:
        view = mask_bands(view, random)
    return np.maximum(view, SILENCE).astype(np.float32)


def _sounding(windows: LogMel) -> LogMel:
    """The frames of all windows in a row, without the zero padding at the end; at least one frame."""
    frames = np.concatenate([windows[:1], windows[1:, 1:]], axis=None).reshape(-1, MEL_BINS)
    loud = np.flatnonzero(frames.max(axis=1) > SILENCE)
    return frames[: loud[-1] + 1] if len(loud) else frames[:1]


def _change_speed(frames: LogMel, largest: float, random: np.random.Generator) -> LogMel:
    """Played faster or slower: time and pitch change together, as with a tape."""
    speed = float(np.exp(random.uniform(-largest, largest)))
    times = np.arange(max(1, int(len(frames) / speed))) * speed
    bands = np.interp(_CENTRES / speed, _CENTRES, np.arange(MEL_BINS))
    return _between(_between(frames, times).T, bands).T


def _between(rows: LogMel, positions: Spectrogram) -> LogMel:
    """Linear interpolation between rows; the last row goes on."""
    low = np.minimum(positions.astype(np.int64), len(rows) - 1)
    share = (positions - low).clip(0.0, 1.0).astype(np.float32)[:, None]
    blended: LogMel = rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share
    return blended


def _place(frames: LogMel, repeat: float, random: np.random.Generator) -> LogMel:
    """Ten seconds: cut at random from longer recordings; shorter ones are repeated, or padded as the server does."""
    if len(frames) >= MEL_FRAMES:
        start = int(random.integers(0, len(frames) - MEL_FRAMES + 1))
        return frames[start : start + MEL_FRAMES]
    frames = np.roll(frames, random.integers(len(frames)), axis=0)
    if random.random() < repeat:
        return np.resize(frames, (MEL_FRAMES, MEL_BINS))
    placed = np.full((MEL_FRAMES, MEL_BINS), SILENCE, np.float32)
    # Most requests start with the sound; some begin later.
    start = 0 if random.random() < 0.6 else int(random.integers(0, MEL_FRAMES - len(frames) + 1))
    placed[start : start + len(frames)] = frames
    return placed


def mask_bands(view: Spectrogram, random: np.random.Generator) -> Spectrogram:
    """Spec-augment: two bands and two stretches of time take the recording's mean level."""
    masked, level = view.copy(), view.mean()
    for _ in range(2):
        width, length = random.integers(0, 12), random.integers(0, 120)
        low, start = random.integers(0, MEL_BINS - width), random.integers(0, MEL_FRAMES - length)
        masked[:, low : low + width] = level
        masked[start : start + length] = level
    return masked


def augment_recordings(
    recordings: Sequence[LogMel],
    backgrounds: Sequence[LogMel],
    settings: AudioAugmentation,
    random: np.random.Generator,
) -> LogMel:
    """As `augment_recording` for a batch: float32 [B, 1, 1001, 64]."""
    views = [augment_recording(*pair, settings, random) for pair in zip(recordings, backgrounds, strict=True)]
    return np.stack(views)[:, None]
