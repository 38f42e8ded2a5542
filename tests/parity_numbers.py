"""The parity checks that need no model: losses and retrieval metrics of given embeddings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from parity_folder import Check, ParityFolder, Quantity

from sat2sound.evaluation.metrics import retrieval, with_text
from sat2sound.evaluation.ranks import Embeddings
from sat2sound.training.losses import sat2sound_loss

# The letters of "retrieval_<query>2<gallery>"; several letters are the sum of unit vectors.
_MODALITIES = {"i": "satellite", "s": "audio", "t": "audio_caption"}
_DIRECTION = re.compile(r"([ist]+)2([ist]+)")


def loss_checks(folder: ParityFolder) -> Iterator[Check]:
    """Of the five terms and the total, if the folder has them."""

    def values() -> list[float]:
        names = ("satellite", "audio", "audio_caption", "image_caption")
        satellite, audio, caption, image_caption = (torch.from_numpy(_given(folder, name)) for name in names)
        scales = {name: torch.tensor(math.log(1 / 0.07)) for name in ("ia", "it", "at", "i_at", "fdt")}
        return sat2sound_loss(satellite, audio, caption, image_caption, scales).values()

    yield from folder.compare("loss", {"values": Quantity(1e-4, lambda _: values())})


def retrieval_checks(folder: ParityFolder) -> Iterator[Check]:
    """Of [R@10%, MdR] in each direction that the folder names, such as i2s or i2st, over the loss embeddings."""
    names = [key.removeprefix("retrieval_") for key in folder.expected if key.startswith("retrieval_")]
    directions = {name: match for name in names if (match := _DIRECTION.fullmatch(name))}

    def metrics(match: re.Match[str], _: object) -> list[float]:
        result = retrieval(_sum(folder, match[1]), _sum(folder, match[2]))
        return [result.recall_at_ten_percent, result.median_rank]

    quantities = {name: Quantity(0.0, partial(metrics, match)) for name, match in directions.items()}
    yield from folder.compare("retrieval", quantities)


def _sum(folder: ParityFolder, letters: str) -> Embeddings:
    first, *others = (_given(folder, _MODALITIES[letter]) for letter in letters)
    for other in others:
        first = with_text(first, other)
    return first


def _given(folder: ParityFolder, name: str) -> Embeddings:
    return np.asarray(folder.given(f"loss_{name}"), np.float32)
