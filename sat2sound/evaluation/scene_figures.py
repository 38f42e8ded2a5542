"""The four figures of images with scenes and recordings with sound groups, from embeddings alone (no torch)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sat2sound.evaluation.metrics import Estimate, bootstrap
from sat2sound.evaluation.ranks import Embeddings, unit_rows
from sat2sound.training.caption_files import NAMES_PER_SCENE, Captions
from sat2sound.training.starter_data import EVALUATED_GROUPS

DEPTH = 10  # of precision at ten


@dataclasses.dataclass(frozen=True)
class StarterFigures:
    """Each with its 95 % bootstrap interval over queries.

    scene_top1: share of images whose scene's prompt (mean of the unit embeddings of its held-out names) scores highest
    of all scenes. image_to_group_top1: share of images whose best recording is of their sound group.
    audio_to_group_top1: the reverse. text_to_scene_p10: mean share of images of the right scene among the ten best for
    a held-out wording.
    """

    scene_top1: Estimate
    image_to_group_top1: Estimate
    audio_to_group_top1: Estimate
    text_to_scene_p10: Estimate

    def mean(self) -> float:
        """Mean of the four values: what decides between candidates on the val split."""
        return float(np.mean([estimate["value"] for estimate in dataclasses.asdict(self).values()]))

    def to_json(self) -> str:
        """{"scene_top1": {"value", "low", "high", "n"}, ...}"""
        return json.dumps(dataclasses.asdict(self), indent=2)


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What each query of a figure scored. scores: float64 [n], 0 to 1; owners: its scene or sound group."""

    scores: npt.NDArray[np.float64]
    owners: npt.NDArray[np.str_]

    def estimate(self) -> Estimate:
        """The figure: mean over all queries. Raises ValueError if there are none."""
        return bootstrap(self.scores)

    def by_owner(self) -> dict[str, Estimate]:
        """The figure per scene or group."""
        return {str(owner): bootstrap(self.scores[self.owners == owner]) for owner in np.unique(self.owners)}


def outcomes(
    images: Embeddings,
    scenes: Sequence[str],
    image_groups: Sequence[str],
    recordings: Embeddings,
    recording_groups: Sequence[str],
    texts: Embeddings,
    wordings: Captions,
) -> dict[str, Outcomes]:
    """Per query, by the figure's name, from unit embeddings float32 [n, D] each. texts: of the wordings, in order."""
    owners = np.array([scene for scene, of_scene in wordings.items() for _ in of_scene])
    names = np.array([at < NAMES_PER_SCENE for of_scene in wordings.values() for at in range(len(of_scene))])
    order = list(wordings)
    prompts = unit_rows(np.stack([texts[(owners == scene) & names].mean(axis=0) for scene in order]))
    own_scenes, own_groups, sounds = np.array(scenes), np.array(image_groups), np.array(recording_groups)
    best_prompt = np.array(order)[(images @ prompts.T).argmax(axis=1)]
    pictured, heard = np.isin(own_groups, EVALUATED_GROUPS), np.isin(sounds, EVALUATED_GROUPS)
    pictured_groups, heard_groups = own_groups[pictured], sounds[heard]
    scores = images[pictured] @ recordings[heard].T
    both = scores.size > 0  # else neither direction has anything to find
    image_hits = heard_groups[scores.argmax(axis=1)] == pictured_groups if both else np.empty(0)
    audio_hits = pictured_groups[scores.argmax(axis=0)] == heard_groups if both else np.empty(0)
    best_images = np.argsort(-(texts @ images.T), axis=1, kind="stable")[:, :DEPTH]
    found = {
        "scene_top1": (best_prompt == own_scenes, own_scenes),
        "image_to_group_top1": (image_hits, pictured_groups[: len(image_hits)]),
        "audio_to_group_top1": (audio_hits, heard_groups[: len(audio_hits)]),
        "text_to_scene_p10": ((own_scenes[best_images] == owners[:, None]).mean(axis=1), owners),
    }
    return {name: Outcomes(np.asarray(hits, np.float64), of) for name, (hits, of) in found.items()}


def figures(
    images: Embeddings,
    scenes: Sequence[str],
    image_groups: Sequence[str],
    recordings: Embeddings,
    recording_groups: Sequence[str],
    texts: Embeddings,
    wordings: Captions,
) -> StarterFigures:
    """The four figures; arguments as `outcomes`. Raises ValueError if one of them has no queries."""
    found = outcomes(images, scenes, image_groups, recordings, recording_groups, texts, wordings)
    return StarterFigures(**{name: outcome.estimate() for name, outcome in found.items()})
