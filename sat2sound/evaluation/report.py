"""One evaluation from samples to figures: what suits the data is computed, what does not is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sat2sound.data.samples import Sample
from sat2sound.errors import DatasetError
from sat2sound.evaluation.backends import Backend
from sat2sound.evaluation.embedding import (
    MAX_SKIPPED_SHARE,
    EmbeddedSamples,
    Progress,
    Skipped,
    embed_samples,
)
from sat2sound.evaluation.paired import PairedRetrieval, paired_retrieval
from sat2sound.evaluation.scene_figures import Outcomes, outcomes
from sat2sound.training.caption_files import Captions, read_caption_files


@dataclass(frozen=True)
class Report:
    """figures: by name, of scenes and sound groups (empty if the data has none). retrieval: among pairs (or none).

    about: what was evaluated on what. given: how many samples had each part. notes: what was left out, and why.
    """

    about: dict[str, Any]
    given: dict[str, int]
    figures: dict[str, Outcomes]
    retrieval: list[PairedRetrieval]
    skipped: list[Skipped]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The figures at the top, each {value, low, high, n}; then per_scene, retrieval, about, given, skipped, notes.

        What the data has no figures for is left out.
        """
        document: dict[str, Any] = {name: asdict(outcome.estimate()) for name, outcome in self.figures.items()}
        if self.figures:
            document["per_scene"] = {
                name: {owner: asdict(estimate) for owner, estimate in outcome.by_owner().items()}
                for name, outcome in self.figures.items()
            }
        if self.retrieval:
            document["retrieval"] = [result.to_json() for result in self.retrieval]
        skipped = [asdict(entry) for entry in self.skipped]
        return {**document, "about": self.about, "given": self.given, "skipped": skipped, "notes": self.notes}


def evaluate(
    samples: Iterable[Sample],
    backend: Backend,
    *,
    about: dict[str, Any] | None = None,
    with_metadata: bool = True,
    max_skipped_share: float = MAX_SKIPPED_SHARE,
    resamples: int = 1000,
    progress: Progress = lambda count: None,
) -> Report:
    """Embed the samples and compute every figure that they have the parts for.

    about: facts on the data for the report. resamples: of the bootstrap. Others as `embed_samples`. Raises DatasetError
    also if the samples allow no figure at all; the backend's errors as they come.
    """
    embedded = embed_samples(
        samples, backend, with_metadata=with_metadata, max_skipped_share=max_skipped_share, progress=progress
    )
    notes = _missing(embedded)
    figures = _scene_figures(embedded, backend, read_caption_files().held_out_scenes, notes)
    retrieval = paired_retrieval(embedded, resamples=resamples)
    if not figures and not retrieval:
        raise DatasetError(
            "nothing to evaluate: neither pairs of an image and a recording or caption, nor images of known scenes",
            fix="use a dataset with pairs, or with the starter's scenes",
        )
    described = {**backend.describe(), **(about or {}), "samples": len(embedded.ids), "with_metadata": with_metadata}
    return Report(described, embedded.given, figures, retrieval, embedded.skipped, notes)


def _missing(embedded: EmbeddedSamples) -> list[str]:
    """Captions that only some pairs have: the protocols with text then have a smaller gallery."""
    pairs = embedded.known("image", "audio")
    captioned = int((pairs & embedded.known("audio_caption")).sum())
    if not pairs.any() or captioned == pairs.sum():
        return []
    return [
        f"{int(pairs.sum()) - captioned} of {int(pairs.sum())} pairs have no audio caption and take no part where "
        "text is added"
    ]


def _scene_figures(
    embedded: EmbeddedSamples, backend: Backend, wordings: Captions, notes: list[str]
) -> dict[str, Outcomes]:
    pictured = embedded.known("image") & np.array([bool(scene) for scene in embedded.scenes])
    heard = embedded.known("audio")
    scenes = [scene or "" for scene, known in zip(embedded.scenes, pictured, strict=True) if known]
    if not scenes:
        return {}
    unknown = sorted(set(scenes) - set(wordings))
    if unknown:
        notes.append(f"no figures of scenes: there are no held-out wordings for {', '.join(map(repr, unknown[:5]))}")
        return {}
    texts = [text for of_scene in wordings.values() for text in of_scene]
    answered = backend.texts(texts)
    if answered.refused:
        raise DatasetError(f"scene wordings were refused: {answered.refused}", fix="serve or load a model for texts")
    groups = [group or "" for group in embedded.groups]
    found = outcomes(
        embedded.parts["image"][pictured],
        scenes,
        [group for group, known in zip(groups, pictured, strict=True) if known],
        embedded.parts["audio"][heard],
        [group for group, known in zip(groups, heard, strict=True) if known],
        answered.embeddings,
        wordings,
    )
    notes += [f"no {name}: the split has nothing to query with" for name, each in found.items() if not each.scores.size]
    return {name: each for name, each in found.items() if each.scores.size}
