"""The starter in profile cpu-int8 on the real server: close to the library, and each item for itself."""

from __future__ import annotations

from collections.abc import Iterator

import made_inputs
import numpy as np
import numpy.typing as npt
import pytest
from shared_data import ROOT

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.export.build import ensure_repository
from sat2sound.export.inputs import BuildRequest
from sat2sound.export.profiles import CPU_INT8
from sat2sound.export.verify import verify_repository
from sat2sound.models import Sat2Sound
from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.launcher import TritonServer

REPOSITORY = ROOT / "build" / "tests" / "repository-int8"
PICTURES = [made_inputs.encoded(made_inputs.picture(seed)) for seed in range(5)]
SOUNDS = [made_inputs.recording(seconds) for seconds in (3.0, 8.0, 11.0)]
TEXTS = ["waves on a beach", "rain"]


@pytest.fixture(scope="module")
def client(triton_environment: ServingEnvironment) -> Iterator[Sat2SoundClient]:
    ensure_repository(REPOSITORY, BuildRequest(profile=CPU_INT8))
    with (
        TritonServer(REPOSITORY, environment=triton_environment) as server,
        Sat2SoundClient(server.grpc_url) as connected,
    ):
        yield connected


def smallest_cosine(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float((found * expected).sum(axis=1).min())


def test_served_is_close_to_the_library(client: Sat2SoundClient) -> None:
    model = Sat2Sound.from_checkpoint("starter")
    assert smallest_cosine(client.embed_satellite(PICTURES), model.embed_satellite(PICTURES).numpy()) >= 0.995
    assert np.abs(client.embed_audio(SOUNDS) - model.embed_audio(SOUNDS).numpy()).max() <= 1e-3  # float32, as is text
    assert np.abs(client.embed_text(TEXTS) - model.embed_text(TEXTS).numpy()).max() <= 1e-3


def test_neighbours_change_nothing(client: Sat2SoundClient) -> None:
    together = client.embed_satellite(PICTURES)
    alone = np.concatenate([client.embed_satellite([picture]) for picture in PICTURES])
    assert np.abs(together - alone).max() <= 1e-6


def test_the_repository_verifies(client: Sat2SoundClient) -> None:
    assert not [problem for result in verify_repository(REPOSITORY) for problem in result.problems]
