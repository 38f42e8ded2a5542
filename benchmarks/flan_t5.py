"""The text encoder of the published models, for benchmarks that need its size and not its weights."""

from __future__ import annotations

from transformers import T5Config

LAYERS = 24


def flan_t5_large(layers: int = LAYERS) -> T5Config:
    """Flan-T5-large's dimensions (https://huggingface.co/google/flan-t5-large, config.json), with so many layers."""
    return T5Config(d_model=1024, d_kv=64, d_ff=2816, num_layers=layers, num_heads=16, feed_forward_proj="gated-gelu")
