"""The most that a GPU could do, per stage and precision: `python -m benchmarks.gpu_limits [CONFIGURATION]`.

A stage's time is the larger of two: floating-point operations over the card's matrix rate in that precision, and bytes
that must move (weights once per batch, inputs and outputs once per item, nothing else) over its memory bandwidth. Real
kernels need more; a measurement without its limit says little (benchmarks/gpu.py puts them side by side).

Operations are counted by torch on tensors without contents: neither weights nor memory are needed. Prints Markdown.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5EncoderModel

from benchmarks.flan_t5 import flan_t5_large
from sat2sound import contract
from sat2sound.configs import ModelConfig, load_config
from sat2sound.export.gates.tolerances import Precision
from sat2sound.models import Sat2Sound

BATCHES = (1, 8, 64, 256)
TEXT_TOKENS = 32  # a caption of two sentences
GALLERY = 100_000
CODEBOOK = "codebook product"
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "float16")
_BYTES: Mapping[Precision, int] = {"float32": 4, "tf32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Card:
    """A GPU. rates: dense operations per second by precision; bandwidth: bytes per second of its memory."""

    name: str
    rates: Mapping[Precision, float]
    bandwidth: float


# NVIDIA's data sheets, SXM modules, without sparsity (the sheets' larger numbers count operations that are skipped).
_HOPPER: Mapping[Precision, float] = {"float32": 66.9e12, "tf32": 494.7e12, "float16": 989.4e12, "bfloat16": 989.4e12}
CARDS = {"H100": Card("H100 SXM", _HOPPER, 3.35e12), "H200": Card("H200 SXM", _HOPPER, 4.8e12)}


@dataclass(frozen=True)
class Work:
    """What a stage has to do. operations: of its products, per item (a multiplication and an addition are two).
    weights: numbers in its weights. traffic: bytes of its inputs and outputs per item.
    """

    stage: str
    operations: int
    weights: int
    traffic: int

    def seconds(self, card: Card, precision: Precision, batch: int) -> float:
        """The least time of one batch."""
        moved = self.weights * _BYTES[precision] + self.traffic * batch
        return max(self.operations * batch / card.rates[precision], moved / card.bandwidth)


Stages = Sequence[tuple[Work, Precision]]


def items_per_second(stages: Stages, card: Card, batch: int) -> float:
    """The limit of stages that run one after the other on one card."""
    return batch / sum(work.seconds(card, precision, batch) for work, precision in stages)


def count_work(config: ModelConfig) -> dict[str, Work]:
    """By stage: the encoders, the poolings, and, as a part of satellite_pooling, its product with the codebook."""
    # Attention as plain products: the counter does not know the CPU's fused kernel.
    with FakeTensorMode(), torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        model = Sat2Sound.from_config(config).eval()
        pixels = torch.zeros(1, contract.IMAGE_SIZE, contract.IMAGE_SIZE, 3, dtype=torch.uint8)
        conditions = torch.zeros(1, len(contract.CONDITIONS))
        mel = torch.zeros(1, 1, contract.MEL_FRAMES, contract.MEL_BINS)
        image, audio = torch.zeros(1, config.image_tokens, config.embedding), model.encode_audio(mel)
        text = torch.zeros(1, TEXT_TOKENS, config.text.width)
        mask = torch.ones(1, TEXT_TOKENS, dtype=torch.int64)
        parts = [model.satellite, model.projector, model.metadata]
        works = [
            _work("satellite_encoder", parts, model.encode_satellite, pixels, conditions),
            _work("satellite_pooling", [model.satellite_query, model.codebook], model.pool_satellite, image),
            _work(CODEBOOK, [model.codebook], model.codebook.token_logits, image),
            _work("audio_encoder", [model.audio], model.encode_audio, mel),
            _work("audio_pooling", [model.audio_query, model.codebook], model.pool_audio, audio),
            _work("text_pooling", [model.text_query, model.codebook], model.pool_text, text, mask),
        ]
        if config.text.width == flan_t5_large().d_model:
            works.append(_text_encoder(mask))
    works.append(Work("similarity", 2 * GALLERY * config.embedding, GALLERY * config.embedding, 4 * config.embedding))
    return {work.stage: work for work in works}


def _text_encoder(tokens: Tensor) -> Work:
    encoder: Any = T5EncoderModel(flan_t5_large())
    return _work("text_encoder", [encoder.encoder.block], lambda ids: encoder(ids).last_hidden_state, tokens)


def _work(stage: str, parts: Iterable[nn.Module | None], run: Callable[..., Tensor], *inputs: Tensor) -> Work:
    with FlopCounterMode(display=False) as counter:
        result = run(*inputs)
    traffic = sum(tensor.numel() * tensor.element_size() for tensor in (*inputs, result))
    weights = sum(value.numel() for part in parts if part is not None for value in part.parameters())
    return Work(stage, counter.get_total_flops(), weights, traffic)


def stage_table(works: Mapping[str, Work]) -> list[str]:
    """Markdown: items per second of each stage alone, by precision, card and batch."""
    columns = [f"{card}, {batch}" for card in CARDS for batch in BATCHES]
    lines = [f"| stage | GFLOP | precision | {' | '.join(columns)} |", "|---" * (3 + len(columns)) + "|"]
    for work in works.values():
        name = f"of it, the {work.stage}" if work.stage == CODEBOOK else work.stage
        for precision in PRECISIONS:
            rates = [batch / work.seconds(card, precision, batch) for card in CARDS.values() for batch in BATCHES]
            numbers = " | ".join(f"{rate:,.0f}" for rate in rates)
            kind = "float16, bfloat16" if precision == "float16" else precision
            lines.append(f"| {name} | {work.operations / 1e9:.2f} | {kind} | {numbers} |")
    return lines


def branch_table(works: Mapping[str, Work]) -> list[str]:
    """Markdown: items per second of encoder and pooling together, and the pooling's share, by its precision."""
    columns = [f"{card}, {batch}" for card in CARDS for batch in BATCHES]
    lines = [f"| branch | pooling | {' | '.join(columns)} | share of pooling |", "|---" * (3 + len(columns)) + "|"]
    for branch, encoder in (("satellite", "float16"), ("audio", "float16"), ("text", "tf32"), ("text", "bfloat16")):
        if f"{branch}_encoder" not in works:
            continue
        for pooling in ("float32", "tf32", "bfloat16"):
            stages: Stages = ((works[f"{branch}_encoder"], encoder), (works[f"{branch}_pooling"], pooling))  # type: ignore[assignment]
            rates = [items_per_second(stages, card, batch) for card in CARDS.values() for batch in BATCHES]
            first, second = (work.seconds(CARDS["H200"], precision, BATCHES[-1]) for work, precision in stages)
            numbers = " | ".join(f"{rate:,.0f}" for rate in rates)
            lines.append(f"| {branch}, {encoder} | {pooling} | {numbers} | {second / (first + second):.0%} |")
    return lines


def main() -> None:
    """Command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configuration", nargs="?", default="bingmap-withmeta", help="name of a configuration")
    logging.disable(logging.WARNING)
    works = count_work(load_config(parser.parse_args().configuration))
    print("\n".join([*stage_table(works), "", *branch_table(works)]))


if __name__ == "__main__":
    main()
