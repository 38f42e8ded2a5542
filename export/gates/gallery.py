"""Gate: the gallery is the one that the similarity graph ranks, and this model made its embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sat2sound.configs import ModelConfig
from sat2sound.export.gates.differences import item_cosines
from sat2sound.export.gates.report import GateResult
from sat2sound.export.gates.runtime import Run, in_pieces
from sat2sound.export.gates.tolerances import RETRIEVAL, Precision
from sat2sound.gallery import Gallery
from sat2sound.preprocessing import Limits, TextTokenizer

_SAMPLED = 48
_TIE = 1e-4


def check_gallery(
    gallery: Gallery,
    config: ModelConfig,
    similarity: Run,
    embed_text: Run,
    tokenizer: TextTokenizer,
    precision: Precision,
) -> list[GateResult]:
    """Digest, dimensions, the rows that rank first for themselves, and the embeddings of up to 48 captions.

    embed_text: text encoder and pooling. precision: the coarser of both.
    """
    rows = np.unique(np.linspace(0, len(gallery.entries) - 1, _SAMPLED).astype(int))
    problems = []
    if gallery.model != config.name:
        problems.append(f"it was made by the model {gallery.model!r}, this is {config.name!r}")
    if gallery.embeddings.shape[1] != config.embedding:
        problems.append(f"its embeddings have {gallery.embeddings.shape[1]} numbers, the model's {config.embedding}")
        return [GateResult("gallery", "gallery", problems=tuple(problems))]
    try:
        problems += _ranking_problems(gallery, similarity({"EMBEDDING": gallery.embeddings[rows]}), rows)
    except Exception as error:  # whatever onnxruntime raises: it is what this gate is to find
        problems.append(f"the similarity graph does not run on it ({type(error).__name__}: {error})")
    results = [GateResult("gallery", "gallery", problems=tuple(problems))]
    if gallery.entries[0].modality == "text":
        limit = RETRIEVAL[precision].cosine
        captions = [gallery.entries[row].caption for row in rows]
        results.append(_embedding_result(captions, gallery.embeddings[rows], embed_text, tokenizer, limit))
    return results


def _ranking_problems(gallery: Gallery, found: dict[str, np.ndarray], rows: np.ndarray) -> list[str]:
    problems = []
    digest = found["GALLERY_DIGEST"]
    if any(bytes(row) != gallery.digest for row in digest):
        problems.append("its digest is not the one in the similarity graph")
    best = found["ROWS"][:, 0]
    if best.max() >= len(gallery.entries):
        return [*problems, f"the similarity graph ranks row {best.max()}, it has {len(gallery.entries)}"]
    own = (gallery.embeddings[rows] * gallery.embeddings[best]).sum(axis=1)  # 1 unless another row came first
    wrong = int((own < 1 - _TIE).sum())
    if wrong:
        problems.append(f"{wrong} of {len(rows)} rows are not the best match of their own embedding")
    return problems


def _embedding_result(
    captions: Sequence[str], expected: np.ndarray, embed_text: Run, tokenizer: TextTokenizer, limit: float
) -> GateResult:
    ids, mask = tokenizer.encode(captions, Limits())
    try:
        found = in_pieces(embed_text, {"INPUT_IDS": ids, "ATTENTION_MASK": mask})["EMBEDDING"]
    except Exception as error:  # as above
        problem = f"its captions cannot be embedded ({type(error).__name__}: {error})"
        return GateResult("gallery captions", "gallery", problems=(problem,))
    cosines = item_cosines(found, expected)
    low = int((cosines < limit).sum())
    problem = (
        f"{low} of {len(captions)} captions are embedded otherwise by this model (cosine down to {cosines.min():.4f})"
    )
    return GateResult("gallery captions", "gallery", float(cosines.min()), limit, (problem,) if low else ())
