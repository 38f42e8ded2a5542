"""The audio encoder's stems: both give the same tokens to serve, and the published one keeps its names."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
import torch

from sat2sound.configs import load_config
from sat2sound.models.audio_transformer import AudioTransformer

CONFIG = load_config("starter").audio


@pytest.mark.parametrize("stem", ["patch", "convolutional"])
def test_tokens_do_not_depend_on_batch_neighbours(stem: Literal["patch", "convolutional"]) -> None:
    torch.manual_seed(0)
    encoder = AudioTransformer(dataclasses.replace(CONFIG, stem=stem)).eval()
    log_mel = torch.randn(3, 1, 1001, 64) * 10 - 40
    with torch.inference_mode():
        together = encoder(log_mel)
        alone = encoder(log_mel[1:2])
    assert together.shape == (3, CONFIG.output_tokens, CONFIG.output_width)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


def test_published_models_have_the_published_stem() -> None:
    assert load_config("bingmap-withmeta").audio.stem == "patch"
    names = {name for name, _ in AudioTransformer(dataclasses.replace(CONFIG, stem="patch")).named_parameters()}
    assert {"patch_embed.proj.weight", "patch_embed.proj.bias", "patch_embed.norm.weight"} <= names
