"""How a repository is served: what differs between a laptop and a GPU node, apart from the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sat2sound.errors import InvalidInput
from sat2sound.export.gates.tolerances import Precision


@dataclass(frozen=True)
class ModelServing:
    """Serving choices of one composing model.

    max_batch_size: items per execution. queue_delay_microseconds: how long the dynamic batcher waits for company.
    instances: how many copies run at once. parameters: passed to the backend.
    """

    max_batch_size: int
    queue_delay_microseconds: int = 0
    instances: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """A named set of choices.

    ensemble_max_batch_size: items per request at the public models. precisions: of the graphs that are not float32;
    codebook pooling always is (MODEL.md, shared codebook).
    """

    name: str
    kind: str
    ensemble_max_batch_size: int
    models: Mapping[str, ModelServing]
    precisions: Mapping[str, Precision] = field(default_factory=dict)

    def precision(self, graph: str) -> Precision:
        """In which numbers this graph computes."""
        return self.precisions.get(graph, "float32")


def _threads(count: int) -> dict[str, str]:
    # Spinning threads of one session slow the others down when they share cores (FIELD.md: 25 ms becomes 50 ms).
    return {"intra_op_thread_count": str(count), "session.intra_op.allow_spinning": "0"}


MAX_K = 100  # rows that `similarity` returns, and so the largest TOP_K; fewer if the gallery has fewer
MAX_BATCH = 16

CPU = Profile(
    name="cpu",
    kind="KIND_CPU",
    ensemble_max_batch_size=MAX_BATCH,
    models={
        # Two decoders overlap with the encoder; more would only take its cores.
        "satellite_preprocess": ModelServing(MAX_BATCH, instances=2),
        "satellite_encoder": ModelServing(MAX_BATCH, parameters=_threads(2)),
        "satellite_pooling": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "audio_preprocess": ModelServing(MAX_BATCH),
        "audio_encoder": ModelServing(MAX_BATCH, parameters=_threads(2)),
        "audio_pooling": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "text_preprocess": ModelServing(MAX_BATCH),
        "text_encoder": ModelServing(MAX_BATCH, parameters=_threads(2)),
        "text_pooling": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "similarity": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "gallery": ModelServing(MAX_BATCH),
        "query_scores": ModelServing(MAX_BATCH, parameters=_threads(1)),
        "score_check": ModelServing(MAX_BATCH),
    },
)

PROFILES = {profile.name: profile for profile in (CPU,)}


def find_profile(name: str) -> Profile:
    """The profile of that name. Raises InvalidInput listing the known ones."""
    if name not in PROFILES:
        raise InvalidInput(f"unknown profile {name!r}", expected=f"one of {', '.join(PROFILES)}", fix="choose one")
    return PROFILES[name]
