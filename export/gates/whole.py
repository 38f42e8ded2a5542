"""Gates on graphs that work together: rankings of each branch, and the gallery."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sat2sound.configs import ModelConfig
from sat2sound.export.gates.gallery import check_gallery
from sat2sound.export.gates.report import GateResult
from sat2sound.export.gates.retrieval import check_retrieval, embed
from sat2sound.export.gates.runtime import runner
from sat2sound.export.gates.tolerances import coarsest
from sat2sound.export.profiles import Profile
from sat2sound.export.references import References
from sat2sound.gallery import Gallery
from sat2sound.preprocessing import TextTokenizer


def check_whole(
    files: Mapping[str, Path],
    profile: Profile,
    config: ModelConfig,
    references: References,
    gallery: Gallery,
    tokenizer: Path,
) -> list[GateResult]:
    """files: ONNX file by graph. tokenizer: tokenizer.json. One branch's graphs are in memory at a time."""
    results: list[GateResult] = []
    for branch, queries in references.queries.items():
        try:
            names = (f"{branch}_encoder", f"{branch}_pooling")
            encode, pool = (runner(files[name], profile.precision(name)) for name in names)
            precision = coarsest(profile.precision(name) for name in names)
            results += check_retrieval(branch, precision, encode, pool, queries, gallery.embeddings)
            if branch == "text":
                words = TextTokenizer(tokenizer, config.text.max_tokens, config.text.buckets)
                similarity = runner(files["similarity"], profile.precision("similarity"))
                results += check_gallery(gallery, config, similarity, embed(encode, pool), words, precision)
        except Exception as error:  # whatever onnxruntime and tokenizers raise when a file is no good
            results.append(GateResult("whole", branch, problems=(f"cannot be run ({type(error).__name__}: {error})",)))
    return results
