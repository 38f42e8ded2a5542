"""Gate: encoder and pooling together rank a gallery as torch does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sat2sound.evaluation.ranks import unit_rows
from sat2sound.export.gates.differences import centred_cosine, item_cosines
from sat2sound.export.gates.report import GateResult
from sat2sound.export.gates.runtime import Run, in_pieces
from sat2sound.export.gates.tolerances import RETRIEVAL, Precision, RetrievalTolerance
from sat2sound.export.references import Arrays, Case

Embeddings = npt.NDArray[np.float32]
_KEPT = 10


def check_retrieval(
    branch: str, precision: Precision, encode: Run, pool: Run, queries: Case, gallery: Embeddings
) -> list[GateResult]:
    """Embed the queries with the graphs and rank the gallery, float32 [n, D] of unit length.

    precision: the coarser of both graphs'. Rankings are by cosines of embeddings and gallery rows without their means,
    which is what is left where a model has put all of one modality close together.
    """
    limits = RETRIEVAL[precision]
    try:
        found = in_pieces(embed(encode, pool), queries.inputs)["EMBEDDING"]
    except Exception as error:  # as in the value gate
        problem = f"encoder and pooling do not run together ({type(error).__name__}: {error})"
        return [GateResult("embeddings", branch, problems=(problem,))]
    expected = queries.outputs["EMBEDDING"]
    return [*_embeddings(branch, found, expected, limits), *rankings(branch, found, expected, gallery, limits)]


def embed(encode: Run, pool: Run) -> Run:
    """Encoder and pooling as one."""

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        mask = {name: array for name, array in inputs.items() if name == "ATTENTION_MASK"}
        return pool({**encode(inputs), **mask})

    return run


def _embeddings(branch: str, found: Embeddings, expected: Embeddings, limits: RetrievalTolerance) -> list[GateResult]:
    cosine = float(item_cosines(found, expected).min())
    low = (f"an embedding has cosine {cosine:.6f} with torch's, expected {limits.cosine}",)
    results = [GateResult("embeddings", branch, cosine, limits.cosine, () if cosine >= limits.cosine else low)]
    centred = centred_cosine(found, expected)
    if centred is not None:
        low = (f"embeddings without their mean have cosine {centred:.6f} with torch's, expected {limits.centred}",)
        results.append(GateResult("centred", branch, centred, limits.centred, () if centred >= limits.centred else low))
    return results


def rankings(
    branch: str, found: Embeddings, expected: Embeddings, gallery: Embeddings, limits: RetrievalTolerance
) -> list[GateResult]:
    """Top-1 agreement and recall drop of the rankings by `found` against those by `expected`, float32 [n, D] each."""
    if len(gallery) < 2:
        return []
    mean, middle = expected.mean(axis=0), gallery.mean(axis=0)
    rows = unit_rows(gallery - middle).astype(np.float64)
    ours, theirs = (unit_rows(array - mean).astype(np.float64) @ rows.T for array in (found, expected))
    best = theirs.argmax(axis=1)
    everyone = np.arange(len(theirs))
    chosen = theirs[everyone, ours.argmax(axis=1)]
    agreement = float((chosen >= theirs[everyone, best] - limits.tie).mean())
    rank = (ours > ours[everyone, best][:, None] + limits.tie).sum(axis=1)
    kept = min(_KEPT, len(gallery) // 2)  # of a few rows, any ranking keeps the best one among ten
    drop = float((rank >= kept).mean())
    wrong = (f"the best row is torch's for {agreement:.1%} of queries, expected {limits.top1:.1%}",)
    lost = (f"torch's best row is not among the {kept} best for {drop:.1%} of queries, allowed {limits.recall_drop}",)
    return [
        GateResult("top-1", branch, agreement, limits.top1, () if agreement >= limits.top1 else wrong),
        GateResult("recall drop", branch, drop, limits.recall_drop, () if drop <= limits.recall_drop else lost),
    ]
