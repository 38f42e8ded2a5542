"""From a map and questions to a score raster, in one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps.conventions import source_name
from sat2sound.clients.maps.geotiff import write_scores
from sat2sound.clients.maps.identity import check_same, served_identity
from sat2sound.clients.maps.query import Query, embed_queries, open_map, score_map
from sat2sound.clients.maps.store import open_map_store, shared


@dataclass(frozen=True)
class Answer:
    """raster: what was written. queries: one per band. tags: what the file says of itself."""

    raster: Path
    queries: tuple[Query, ...]
    tags: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        queries = [{"query": query.name, "kind": query.kind, "sha256": query.digest} for query in self.queries]
        return {"queries": queries, "tags": self.tags}


def answer_queries(
    path: Path,
    client: Sat2SoundClient,
    texts: Sequence[str],
    recordings: Sequence[Path],
    out: Path,
    *,
    softmax: float | None = None,
    notify: Callable[[int, int], None] = lambda finished, total: None,
) -> Answer:
    """Score a map and write a Cloud-Optimized GeoTIFF. Raises MapError, InvalidInput, ClientError."""
    with shared(path):
        return _answer(path, client, texts, recordings, out, softmax, notify)


def _answer(
    path: Path,
    client: Sat2SoundClient,
    texts: Sequence[str],
    recordings: Sequence[Path],
    out: Path,
    softmax: float | None,
    notify: Callable[[int, int], None],
) -> Answer:
    store = open_map_store(path)
    check_same(store.model, served_identity(client), path)
    queries = embed_queries(client, texts, recordings)
    scores = score_map(open_map(path), queries, softmax=softmax)
    values = "cosine similarity" if softmax is None else f"softmax over the queries, temperature {softmax:g}"
    tags = {
        "SAT2SOUND_MODEL": store.model.name,
        "SAT2SOUND_VALUES": values,
        "SAT2SOUND_MAP": path.name,
        "SAT2SOUND_IMAGERY": source_name(store.described["plan"]["imagery"]),
    }
    return Answer(write_scores(out, scores, queries, tags, notify), tuple(queries), tags)
