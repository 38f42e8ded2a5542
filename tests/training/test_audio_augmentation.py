"""Augmentation of spectrograms: powers add, silence stays silent, everything comes from the seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sat2sound.training.audio_augmentation import SILENCE, AudioAugmentation, LogMel, augment_recordings

NOTHING = AudioAugmentation(repeat=0.0, mix=0.0, mask=0.0, loudness=0.0, speed=0.0, equaliser=0.0)


def clip(frames: int, level: float = -20.0, windows: int = 1) -> LogMel:
    spectrogram = np.full((windows, 1001, 64), SILENCE, np.float32)
    spectrogram[:, :frames] = level
    return spectrogram


def test_shape_range_and_seed() -> None:
    recordings = [clip(300), clip(1001, windows=3)]
    first = augment_recordings(recordings, recordings, AudioAugmentation(), np.random.default_rng(2))
    again = augment_recordings(recordings, recordings, AudioAugmentation(), np.random.default_rng(2))
    assert first.shape == (2, 1, 1001, 64)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert first.min() >= SILENCE


def test_short_recordings_keep_their_length_and_the_rest_stays_silent() -> None:
    for seed in range(10):
        view = augment_recordings([clip(300)], [clip(300)], NOTHING, np.random.default_rng(seed))[0, 0]
        sounding = view.max(axis=1) > SILENCE
        assert sounding.sum() == 300
        assert (view[~sounding] == SILENCE).all()
        assert view[sounding].mean() == pytest.approx(-20.0, abs=0.01)  # the tilt of the spectrum has mean 0


def test_repeated_recordings_fill_the_ten_seconds() -> None:
    always = replace(NOTHING, repeat=1.0)
    view = augment_recordings([clip(300)], [clip(300)], always, np.random.default_rng(0))[0, 0]
    assert (view.max(axis=1) > SILENCE).all()


def test_mixing_adds_power_and_never_takes_any_away() -> None:
    mixed = replace(NOTHING, mix=1.0)
    view = augment_recordings([clip(1001)], [clip(1001)], mixed, np.random.default_rng(1))[0, 0]
    gain = float(view.mean()) - -20.0  # the background is 3 to 20 dB quieter: 0.04 to 1.76 dB more in all
    assert 0.04 <= gain <= 1.77


def test_silent_recordings_stay_finite() -> None:
    view = augment_recordings([clip(0)], [clip(0)], AudioAugmentation(), np.random.default_rng(1))
    assert np.isfinite(view).all()


def test_masks_take_the_mean_level() -> None:
    masked = replace(NOTHING, mask=1.0)
    random = np.random.default_rng(3)
    noise = random.normal(-40.0, 5.0, (1, 1001, 64)).astype(np.float32)
    view = augment_recordings([noise], [noise], masked, random)[0, 0]
    flat_times, flat_bands = view.std(axis=1) < 1e-3, view.std(axis=0) < 1e-3
    assert flat_times.sum() + flat_bands.sum() > 0
    assert view[flat_times].mean() == pytest.approx(-40.0, abs=1.0) if flat_times.any() else flat_bands.any()


def test_speed_changes_length_and_pitch_together() -> None:
    tone = clip(500, -80.0)
    tone[:, :500, 40] = -20.0
    seen = set()
    for seed in range(12):
        view = augment_recordings([tone], [tone], replace(NOTHING, speed=0.3), np.random.default_rng(seed))[0, 0]
        length = int((view.max(axis=1) > SILENCE).sum())
        pitch = int(view[view.max(axis=1) > SILENCE].mean(axis=0).argmax())
        if abs(length - 500) > 50:  # clearly faster is higher, clearly slower is lower
            assert (length < 500) == (pitch > 40)
            seen.add(length < 500)
    assert seen == {True, False}


def test_the_microphone_changes_bands_but_not_silence() -> None:
    view = augment_recordings([clip(300)], [clip(300)], replace(NOTHING, equaliser=6.0), np.random.default_rng(4))[0, 0]
    sounding = view.max(axis=1) > SILENCE
    assert sounding.sum() == 300
    assert (view[~sounding] == SILENCE).all()
    assert view[sounding].std(axis=0).max() < 1e-3  # the same response all the time
    assert view[sounding].std(axis=1).min() > 1.0
