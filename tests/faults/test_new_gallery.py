"""A new gallery published under requests: none fails, none mixes two galleries, then only the new one answers."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import made_inputs
import numpy as np
import tiny_repository as tiny

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.ranking import Ranking
from sat2sound.clients.retries import Patience
from sat2sound.gallery import make_gallery, write_gallery
from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.launcher import TritonServer

ONCE = Patience(tries=1)
PARTS = ("similarity", "gallery")
ENSEMBLES = ("retrieve_sounds", "search_gallery")
PICTURE = made_inputs.encoded(made_inputs.picture(4))
VECTOR = np.random.default_rng(8).standard_normal((1, tiny.CONFIG.embedding)).astype(np.float32)


def add_version(repository: Path, version: int, folder: Path) -> None:
    """Both folders of a gallery whose captions name its version and whose vectors are others."""
    old = tiny.tiny_gallery()
    entries = [replace(entry, id=f"v{version}-{row}", caption=f"version {version}, sound {row}")
               for row, entry in enumerate(old.entries)]  # fmt: skip
    vectors = np.random.default_rng(version).standard_normal(old.embeddings.shape)
    gallery = make_gallery(entries, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tiny.CONFIG.name)
    graphs = folder / f"graphs{version}"
    graphs.mkdir()
    tiny.write_tiny_graphs(graphs, gallery)
    for name in PARTS:
        shutil.copytree(repository / name / "1", repository / name / f"{version}.new")
    shutil.copyfile(graphs / "similarity.onnx", repository / "similarity" / f"{version}.new" / "model.onnx")
    write_gallery(repository / "gallery" / f"{version}.new" / "gallery.parquet", gallery)
    for name in PARTS:  # a version appears as a whole
        (repository / name / f"{version}.new").rename(repository / name / str(version))


def asked(client: Sat2SoundClient) -> tuple[Ranking, Ranking]:
    (of_vector,) = client.search_gallery(VECTOR, top_k=tiny.ENTRIES)
    (of_picture,) = client.retrieve_sounds(PICTURE, top_k=tiny.ENTRIES)
    return of_vector, of_picture


def test_requests_meet_one_gallery_or_the_other(
    triton_environment: ServingEnvironment, tiny_repository: Path, tmp_path: Path
) -> None:
    repository = shutil.copytree(tiny_repository, tmp_path / "repository")
    found: list[tuple[float, float, str, Ranking]] = []  # when asked, when answered, which door, what
    problems: list[BaseException] = []
    stop = threading.Event()
    with TritonServer(repository, environment=triton_environment) as server:

        def ask() -> None:
            with Sat2SoundClient(server.grpc_url, patience=ONCE) as client:
                while not stop.is_set():
                    started = time.monotonic()
                    try:
                        answers = asked(client)
                    except BaseException as problem:
                        problems.append(problem)
                        return
                    found.extend(
                        (started, time.monotonic(), door, answer)
                        for door, answer in zip(ENSEMBLES[::-1], answers, strict=True)
                    )

        expected: list[tuple[Ranking, Ranking]] = []
        published: list[float] = []
        with Sat2SoundClient(server.grpc_url, patience=ONCE) as client:
            expected.append(asked(client))
            askers = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
            for asker in askers:
                asker.start()
            for version in (2, 3):
                time.sleep(0.5)
                add_version(repository, version, tmp_path)
                for ensemble in ENSEMBLES:
                    server.control.load(ensemble)
                published.append(time.monotonic())
                expected.append(asked(client))
            time.sleep(0.5)
            stop.set()
            for asker in askers:
                asker.join(timeout=60)
    assert problems == []
    assert len(found) > 40
    seen = []
    for started, ended, door, ranking in found:
        place = ENSEMBLES[::-1].index(door)
        (version,) = {int(sound.id[1]) if sound.id[0] == "v" else 1 for sound in ranking}  # not of two galleries
        ids = [sound.id for sound in expected[version - 1][place]]
        assert [sound.id for sound in ranking] == ids
        scores = [sound.score for sound in expected[version - 1][place]]
        np.testing.assert_allclose([sound.score for sound in ranking], scores, atol=1e-5)
        oldest = 1 + sum(moment < started for moment in published)  # what was published before it was asked
        newest = 1 + sum(moment < ended for moment in published)
        assert oldest <= version <= newest + 1, "no stale gallery, none before its time"
        seen.append(version)
    assert set(seen) == {1, 2, 3}
