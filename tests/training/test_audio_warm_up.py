"""Warm-up of the audio encoder: it learns, alone, and the same from the same seed."""

from __future__ import annotations

import numpy as np
import torch

from sat2sound.configs import AudioConfig
from sat2sound.models.audio_transformer import AudioTransformer
from sat2sound.training.audio_warm_up import AudioClassifier, AudioWarmUp, warm_up_audio
from sat2sound.training.starter_data import AudioSet

CONFIG = AudioConfig(width=8, depths=(1, 1), heads=(2, 2), window=8, patch_size=16)
SETTINGS = AudioWarmUp(steps=50, batch=6, learning_rate=5e-3, mixing=0.3)


def recordings() -> AudioSet:
    """Low and high noise."""
    random = np.random.default_rng(0)
    log_mels = [random.normal(-50, 3, (1, 1001, 64)).astype(np.float32) for _ in range(6)]
    for index, spectrogram in enumerate(log_mels):
        spectrogram[:, :, :32] += 20 if index % 2 else -20
    return AudioSet(tuple(log_mels), ("high", "low") * 3, ("road", "forest") * 3)


def test_it_learns_and_is_deterministic() -> None:
    encoders, losses = [], []
    for _ in range(2):
        torch.manual_seed(0)
        encoders.append(AudioTransformer(CONFIG))
        warm_up_audio(encoders[-1], recordings(), SETTINGS, 3, lambda step, loss, _: losses.append((step, loss)))
    assert losses[0] == losses[1]
    assert losses[0][0] == 50
    assert losses[0][1] < np.log(2)  # two labels: better than guessing, on the mean over all steps
    states = [encoder.state_dict() for encoder in encoders]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_no_steps_leave_the_encoder_as_it_is() -> None:
    encoder = AudioTransformer(CONFIG)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    warm_up_audio(encoder, recordings(), AudioWarmUp(steps=0), 0)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_classifier_has_one_logit_per_label() -> None:
    classifier = AudioClassifier(AudioTransformer(CONFIG), ["a", "b", "c"]).eval()
    assert classifier(torch.zeros(2, 1, 1001, 64)).shape == (2, 3)
