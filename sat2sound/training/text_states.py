"""Token states of captions, computed once: the text encoder is frozen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sat2sound.configs import TextConfig
from sat2sound.models.text_encoder import TextEncoder, text_tokenizer
from sat2sound.preprocessing import Limits

BATCH = 64


class TextStates:
    """States and masks of a fixed list of texts; `of` picks rows."""

    def __init__(self, texts: Sequence[str], config: TextConfig) -> None:
        self.texts = tuple(texts)
        self._row = {text: row for row, text in enumerate(self.texts)}
        ids, mask = text_tokenizer(config).encode(self.texts, Limits())
        encoder = TextEncoder(config)
        with torch.inference_mode():
            batches = zip(
                torch.split(torch.from_numpy(ids), BATCH), torch.split(torch.from_numpy(mask), BATCH), strict=True
            )
            states = torch.cat([encoder(*batch) for batch in batches])
        # A clone made outside inference mode can take part in training.
        self.states, self.mask = states.clone(), torch.from_numpy(mask)

    def of(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States float32 [B, T, width] and mask int64 [B, T] of these texts; KeyError for one that was not given."""
        rows = torch.tensor([self._row[text] for text in texts])
        return self.states[rows], self.mask[rows]


def drop_tokens(mask: Tensor, share: float, random: np.random.Generator) -> Tensor:
    """The mask without a random share of its tokens: captions of small data are otherwise learned by heart.

    mask: int64 [B, T], the first position (the sentence token) always stays. Returns int64 [B, T].
    """
    kept = random.random(tuple(mask.shape)) >= share
    kept[:, 0] = True
    return mask * torch.from_numpy(kept.astype(np.int64))
