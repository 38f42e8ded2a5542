"""Gate: the gallery is the one that the similarity graph ranks, and this model made its embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sat2sound.configs import ModelConfig
from sat2sound.export.gates.differences import centred_cosine, item_cosines
from sat2sound.export.gates.report import GateResult
from sat2sound.export.gates.runtime import Run, in_pieces
from sat2sound.export.gates.tolerances import RETRIEVAL, Precision, RetrievalTolerance
from sat2sound.gallery import Gallery
from sat2sound.preprocessing import Limits, TextTokenizer

_SAMPLED = 48
_ROUNDING = 5e-6  # of a cosine in float32


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
        captions = [gallery.entries[row].caption for row in rows]
        results += _embedding_results(captions, gallery.embeddings[rows], embed_text, tokenizer, RETRIEVAL[precision])
    return results


def _ranking_problems(gallery: Gallery, found: dict[str, np.ndarray], rows: np.ndarray) -> list[str]:
    problems = []
    digest = found["GALLERY_DIGEST"]
    if any(bytes(row) != gallery.digest for row in digest):
        problems.append("its digest is not the one in the similarity graph")
    ranked = found["ROWS"]
    if ranked.min() < 0 or ranked.max() >= len(gallery.entries):
        worst = ranked.min() if ranked.min() < 0 else ranked.max()
        return [*problems, f"the similarity graph ranks row {worst}, it has {len(gallery.entries)}"]
    queries = gallery.embeddings[rows].astype(np.float64)
    cosines = np.take_along_axis(queries @ gallery.embeddings.astype(np.float64).T, ranked, axis=1)
    own = (queries * queries).sum(axis=1)  # another row comes first only if it is the same to the last digits
    if wrong := int((cosines[:, 0] < own - _ROUNDING).sum()):
        problems.append(f"{wrong} of {len(rows)} rows are not the best match of their own embedding")
    if wrong := int((np.abs(cosines - found["ROW_SCORES"]) > _ROUNDING).sum()):
        problems.append(f"{wrong} of {ranked.size} scores are not the cosine with the row beside them")
    if wrong := sum(len(set(item)) < len(item) for item in ranked.tolist()):
        problems.append(f"the similarity graph ranks a row twice, for {wrong} of {len(rows)} queries")
    return problems


def _embedding_results(
    captions: Sequence[str],
    expected: np.ndarray,
    embed_text: Run,
    tokenizer: TextTokenizer,
    limits: RetrievalTolerance,
) -> list[GateResult]:
    ids, mask = tokenizer.encode(captions, Limits())
    try:
        found = in_pieces(embed_text, {"INPUT_IDS": ids, "ATTENTION_MASK": mask})["EMBEDDING"]
    except Exception as error:  # as above
        problem = f"its captions cannot be embedded ({type(error).__name__}: {error})"
        return [GateResult("gallery captions", "gallery", problems=(problem,))]
    cosines = item_cosines(found, expected)
    low = int((cosines < limits.cosine).sum())
    problem = (
        f"{low} of {len(captions)} captions are embedded otherwise by this model (cosine down to {cosines.min():.4f})"
    )
    plain = GateResult("gallery captions", "gallery", float(cosines.min()), limits.cosine, (problem,) if low else ())
    centred = centred_cosine(found, expected)
    if centred is None:
        return [plain]
    far = centred < limits.centred
    problem = (
        f"captions are embedded otherwise by this model: cosine {centred:.4f} after subtracting the mean, "
        f"expected {limits.centred}"
    )
    return [plain, GateResult("gallery, centred", "gallery", centred, limits.centred, (problem,) if far else ())]
