"""The gallery gate where all embeddings of a model are alike, as random and badly trained weights make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_repository import CONFIG, WORDS, write_tokenizer

from sat2sound.export.gates.gallery import check_gallery
from sat2sound.export.gates.report import problem_lines
from sat2sound.export.references import Arrays
from sat2sound.gallery import Gallery, GalleryEntry, make_gallery
from sat2sound.preprocessing import TextTokenizer

K = 4
CAPTIONS = WORDS[2:]
Outputs = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    """One caption per word of the tiny tokenizer; rows whose cosines with each other are above 0.998."""
    random = np.random.default_rng(2)
    rows = random.standard_normal(CONFIG.embedding) + 0.03 * random.standard_normal((len(CAPTIONS), CONFIG.embedding))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert (rows @ rows.T).min() > 0.998
    entries = [GalleryEntry(str(row), caption) for row, caption in enumerate(CAPTIONS)]
    return make_gallery(entries, rows.astype(np.float32), CONFIG.name)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path: Path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_tokenizer(path)
    return TextTokenizer(path, CONFIG.text.max_tokens, CONFIG.text.buckets)


def rank(gallery: Gallery, inputs: Arrays) -> Outputs:
    """What the similarity graph gives, and the row that fits least."""
    scores = inputs["EMBEDDING"] @ gallery.embeddings.T
    order = np.argsort(-scores, axis=1, kind="stable")
    rows = order[:, :K].copy()
    digest = np.tile(np.frombuffer(gallery.digest, np.uint8), (len(rows), 1))
    return {
        "ROW_SCORES": np.take_along_axis(scores, rows, axis=1),
        "ROWS": rows,
        "GALLERY_DIGEST": digest,
        "WORST": order[:, -1],
    }


def embed(gallery: Gallery, inputs: Arrays) -> Outputs:
    """What the text branch gives: the row of the caption's only word."""
    return {"EMBEDDING": gallery.embeddings[inputs["INPUT_IDS"][:, 0] - 2]}


def found(gallery: Gallery, tokenizer: TextTokenizer, change: Callable[[Outputs], None], swap: bool = False) -> str:
    def similarity(inputs: Arrays) -> Outputs:
        outputs = rank(gallery, inputs)
        change(outputs)
        return outputs

    def embed_text(inputs: Arrays) -> Outputs:
        rows = embed(gallery, inputs)["EMBEDDING"].copy()
        if swap:
            rows[[0, 1]] = rows[[1, 0]]
        return {"EMBEDDING": rows}

    return "\n".join(problem_lines(check_gallery(gallery, CONFIG, similarity, embed_text, tokenizer, "int8")))


def keep(outputs: Outputs) -> None:
    """Nothing."""


def test_what_belongs_together_passes(gallery: Gallery, tokenizer: TextTokenizer) -> None:
    assert found(gallery, tokenizer, keep) == ""


def test_two_captions_with_each_others_embeddings_are_found(gallery: Gallery, tokenizer: TextTokenizer) -> None:
    assert "captions are embedded otherwise by this model: cosine" in found(gallery, tokenizer, keep, swap=True)


def first_two_change_places(outputs: Outputs) -> None:
    outputs["ROWS"][0, [0, 1]] = outputs["ROWS"][0, [1, 0]]


def last_is_another(outputs: Outputs) -> None:
    outputs["ROWS"][0, -1] = outputs["WORST"][0]


def one_twice(outputs: Outputs) -> None:
    outputs["ROWS"][0, 2] = outputs["ROWS"][0, 1]


def beyond_the_end(outputs: Outputs) -> None:
    outputs["ROWS"][0, -1] = len(CAPTIONS)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (first_two_change_places, "1 of 6 rows are not the best match of their own embedding"),
        (last_is_another, "1 of 24 scores are not the cosine with the row beside them"),
        (one_twice, "ranks a row twice, for 1 of 6 queries"),
        (beyond_the_end, "ranks row 6, it has 6"),
    ],
)
def test_wrong_rows_are_found(
    change: Callable[[Outputs], None], problem: str, gallery: Gallery, tokenizer: TextTokenizer
) -> None:
    assert problem in found(gallery, tokenizer, change)
