"""Which shapes an engine takes, and which it is fastest at: one optimisation profile per graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sat2sound.configs import ModelConfig
from sat2sound.contract import MODELS
from sat2sound.export.profiles import Profile

_FULL_SHARE = 4  # the engine is tuned for a quarter of the largest batch: what the dynamic batcher gathers under load


class ShapeRange(NamedTuple):
    """Shapes of one input, batch first: smallest, the one to tune for, largest."""

    smallest: tuple[int, ...]
    best: tuple[int, ...]
    largest: tuple[int, ...]


Shapes = Mapping[str, ShapeRange]


def engine_shapes(graph: str, config: ModelConfig, profile: Profile, max_k: int) -> Shapes:
    """Input name -> shapes, from the wire contract, the profile's largest batch and the text's token buckets.

    Batches go from 1 to what Triton may send; texts from 1 token to the longest, tuned for the shortest bucket, since
    that is where captions are.
    """
    dimensions, items = config.dimensions(max_k), profile.models[graph].max_batch_size
    batches = (1, max(1, items // _FULL_SHARE), items)
    lengths = (1, min(config.text.buckets), config.text.max_tokens)
    shapes = {}
    for tensor in MODELS[graph].inputs:
        sizes = dimensions.resolve(tensor)
        shapes[tensor.name] = ShapeRange(
            *(
                (batch, *(length if size == -1 else size for size in sizes))
                for batch, length in zip(batches, lengths, strict=True)
            )
        )
    return shapes
