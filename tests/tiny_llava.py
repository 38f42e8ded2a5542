"""A LLaVA of a few thousand weights with a tokenizer of a few words, saved like one from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
WORDS = ["waves", "birds", "traffic", "wind", "people", "engines", "rain", "bells", "and", "the", "of", "a"]


def write_tiny_llava(folder: Path) -> Path:
    """Write model, image processor and tokenizer with random weights; images are 28 x 28, patches 14."""
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
    inner = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
    inner.pre_tokenizer = Whitespace()
    inner.add_special_tokens(SPECIAL)
    make_tokenizer: Any = PreTrainedTokenizerFast  # transformers' constructors are not all typed
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = make_tokenizer(tokenizer_object=inner, **names)
    size = {"height": 28, "width": 28}
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=size)
    make_processor: Any = LlavaProcessor
    processor = make_processor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=None,
    )
    width: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32}
    small = {**width, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(4)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**small, image_size=28, patch_size=14, projection_dim=16),
            text_config=LlamaConfig(
                **small, vocab_size=len(vocabulary), pad_token_id=0, bos_token_id=1, eos_token_id=2
            ),
            image_token_index=SPECIAL.index("<image>"),
            image_seq_length=4,
        )
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(20.0)  # else every image gets the same answer
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
