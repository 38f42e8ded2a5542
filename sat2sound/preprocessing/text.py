"""Texts -> token ids, padded to one of a few lengths so that requests can share a batch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.preprocessing.limits import Limits

TokenIds = npt.NDArray[np.int64]
_PAD_TOKENS = ("[PAD]", "<pad>")
_UNSEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})  # Unicode categories: controls, zero-width formats, separators


def decode_text(data: bytes) -> str:
    """UTF-8 bytes from the wire as text. Raises InvalidInput."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the text is not UTF-8 ({error})", expected="UTF-8", fix="encode it as UTF-8") from None


def check_text(text: str, limits: Limits) -> str:
    """The text, if it says something, is not too long and can be written in UTF-8. Raises InvalidInput."""
    # Zero-width and control characters leave no token: a text of nothing else would be embedded as an empty one.
    if all(unicodedata.category(character) in _UNSEEN for character in text):
        raise InvalidInput("the text is empty", expected="a description", fix='send words such as "waves on a beach"')
    if len(text) > limits.max_text_characters:
        raise InvalidInput(
            f"the text has {len(text):,} characters",
            expected=f"at most {limits.max_text_characters:,} characters",
            fix="describe the sound in a sentence or two; only the first tokens count anyway",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"the text has half of a surrogate pair at position {error.start}",
            expected="Unicode text",
            fix="decode it from its file or JSON again, without surrogateescape",
        ) from None
    return text


class TextTokenizer:
    """A `tokenizers` tokenizer with truncation as published and padded lengths from a fixed list.

    tokenizer_json: the encoder's tokenizer.json. max_tokens: longer texts are truncated, as the published code does.
    buckets: ascending padded lengths, the last one at least max_tokens. Safe to share between threads: its settings
    never change after construction. Raises ConfigurationError if the file is no tokenizer or the buckets are not as
    described.
    """

    def __init__(self, tokenizer_json: Path, max_tokens: int, buckets: Sequence[int]) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_json))
        except Exception as error:  # tokenizers raises bare Exception
            raise ConfigurationError(f"{tokenizer_json} is not a tokenizer: {error}") from error
        self.buckets = tuple(buckets)
        if list(self.buckets) != sorted(set(self.buckets)) or not 0 < max_tokens <= max(self.buckets, default=0):
            raise ConfigurationError(f"buckets {self.buckets} must ascend to max_tokens ({max_tokens}) or more")
        self.pad_id = _pad_id(self._tokenizer, tokenizer_json)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def encode(self, texts: Sequence[str], limits: Limits) -> tuple[TokenIds, TokenIds]:
        """Token ids and attention mask of a batch, each int64 [B, T], T the smallest bucket that fits the longest text.

        Raises InvalidInput for the first text that is empty or too long (`check_text` tells which one beforehand).
        """
        encodings = self._tokenizer.encode_batch([check_text(text, limits) for text in texts])
        longest = max((len(encoding.ids) for encoding in encodings), default=0)
        length = next(bucket for bucket in self.buckets if bucket >= longest)
        ids = np.full((len(encodings), length), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(encodings), length), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        return ids, mask

    def token_positions(self, text: str, word: str) -> list[int]:
        """Positions of the tokens that spell the first occurrence of `word` in `text`, ignoring case.

        word: one or several whole words; "surf" is not found in "surface". Raises InvalidInput if the text does not
        contain it, or only beyond the tokens that are kept.
        """
        found = re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", text, re.IGNORECASE)
        fix = "choose a whole word as it stands in the text"
        if not word.strip() or found is None:
            raise InvalidInput(f"{word[:80]!r} is not in the text", expected="a word of the text", fix=fix)
        start, end = found.span()
        offsets = self._tokenizer.encode(text).offsets
        positions = [index for index, (low, high) in enumerate(offsets) if low < high and low < end and high > start]
        if not positions:
            raise InvalidInput(
                f"{word[:80]!r} lies beyond the tokens that are kept", expected="an earlier word", fix=fix
            )
        return positions


def _pad_id(tokenizer: Tokenizer, path: Path) -> int:
    """As the file's own padding says, else the id of a token with one of the usual names."""
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    for name in _PAD_TOKENS:
        if (known := tokenizer.token_to_id(name)) is not None:
            return int(known)
    raise ConfigurationError(f"{path} has neither padding nor a token named {' or '.join(_PAD_TOKENS)}")
