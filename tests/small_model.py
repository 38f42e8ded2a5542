"""A Sat2Sound model with every part, metadata fusion too, small enough to be exported in seconds.

Its satellite encoder is just wide enough for INT8 (export/precision/int8.py, SMALLEST_SIDE).
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import T5Config, T5EncoderModel

from sat2sound.checkpoints import save_safetensors
from sat2sound.configs import (
    METADATA_PARTS,
    AudioConfig,
    CodebookConfig,
    MetadataConfig,
    ModelConfig,
    SatelliteConfig,
    TextConfig,
)
from sat2sound.models import Sat2Sound

CAPTIONS = ("waves on a beach", "birds in a wood", "traffic on a road", "rain on a roof", "wind in dry grass")
_WORDS = sorted({word for caption in CAPTIONS for word in caption.split()})


def write_small_checkpoint(folder: Path) -> Path:
    """folder/small.safetensors with random weights; folder/t5 is its text encoder; folder/captions.csv a gallery."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = folder / "t5"
    torch.manual_seed(3)
    settings = T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, feed_forward_proj="gated-gelu"
    )
    T5EncoderModel(settings).save_pretrained(encoder)
    vocabulary = {word: index for index, word in enumerate(("<pad>", "<unk>", *_WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 (not a password)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(encoder / "tokenizer.json"))
    config = ModelConfig(
        name="small",
        embedding=48,
        satellite=SatelliteConfig("bingmap", width=80, depth=1, heads=2, patch_size=32),
        audio=AudioConfig(width=8, depths=(1, 1, 1, 1), heads=(1, 1, 2, 2)),
        text=TextConfig(str(encoder), width=32, max_tokens=16, buckets=(8, 16)),
        codebook=CodebookConfig(size=64, temperature=1.0),
        metadata=MetadataConfig(METADATA_PARTS, layers=1, heads=2, feedforward=64, hidden=8),
    )
    path = folder / "small.safetensors"
    save_safetensors(path, config, Sat2Sound(config).state_dict())
    lines = ["id,caption", *(f"{index},{caption}" for index, caption in enumerate(CAPTIONS))]
    (folder / "captions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
