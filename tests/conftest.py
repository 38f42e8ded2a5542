"""Fixtures that are expensive: each is made at most once per run, and only if a test asks for it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from local_hub import LocalHub, asked_by_this_process, local_hub
from shared_data import ROOT
from small_model import write_small_checkpoint
from tiny_repository import build_tiny_repository

from sat2sound.export.inputs import BuildRequest
from sat2sound.serving.environment import ServingEnvironment, find_environment
from sat2sound.serving.launcher import TritonServer

# The same examples in every run: a run that fails can be run again. To look for new ones:
# make test PYTEST_OPTIONS=--hypothesis-profile=explore
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=300)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small shards in the published layouts, by the data sets' names on the hub."""
    from published_shards import write_geosound, write_sounding_earth

    folder = tmp_path_factory.mktemp("published")
    return {
        "MVRL/GeoSound": write_geosound(folder / "geosound", train=24, validation=12, test=12),
        "MVRL/SoundingEarth": write_sounding_earth(folder / "soundingearth", test=12),
    }


@pytest.fixture
def hub(published: dict[str, Path], tmp_path: Path) -> Iterator[LocalHub]:
    """A hub that has them, on the loopback, which the libraries ask in this test."""
    with local_hub(published) as running, asked_by_this_process(running, tmp_path / "hub-cache"):
        yield running


@pytest.fixture(scope="session")
def triton_environment() -> ServingEnvironment:
    """The server's Python environment. Without it, nothing is served and so nothing is tested: an error, no skip."""
    return find_environment()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The starter's model repository, exported if it is not up to date."""
    from sat2sound.export.build import ensure_repository

    return ensure_repository(ROOT / "build" / "tests" / "repository")


@pytest.fixture(scope="session")
def server(triton_environment: ServingEnvironment, repository: Path) -> Iterator[TritonServer]:
    """The starter on a real server."""
    with TritonServer(repository, environment=triton_environment) as running:
        yield running


@pytest.fixture(scope="session")
def tiny_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete repository with tiny graphs; tests copy it before they change it."""
    return build_tiny_repository(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_server(triton_environment: ServingEnvironment, tiny_repository: Path) -> Iterator[TritonServer]:
    """The tiny graphs on a real server."""
    with TritonServer(tiny_repository, environment=triton_environment) as running:
        yield running


@pytest.fixture(scope="session")
def small_request(tmp_path_factory: pytest.TempPathFactory) -> BuildRequest:
    """A small model with metadata fusion and a gallery of five captions."""
    folder = tmp_path_factory.mktemp("small")
    checkpoint = write_small_checkpoint(folder)
    return BuildRequest(str(checkpoint), gallery=folder / "captions.csv")


@pytest.fixture(scope="session")
def small_repositories(
    small_request: BuildRequest, small_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """By profile: the small model's repositories. Each is built over a copy of another, so that only graphs of other
    precisions are exported.
    """
    from sat2sound.export.build import ensure_repository
    from sat2sound.export.profiles import find_profile

    built = {"cpu": small_repository}
    for name, basis in (("cpu-int8", "cpu"), ("tensorrt", "cpu"), ("gpu", "tensorrt")):
        copy = shutil.copytree(built[basis], tmp_path_factory.mktemp(name) / "repository")
        built[name] = ensure_repository(copy, dataclasses.replace(small_request, profile=find_profile(name)))
    return built


@pytest.fixture(scope="session")
def small_repository(small_request: BuildRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its repository, really exported; tests copy it before they change it."""
    from sat2sound.export.build import ensure_repository

    return ensure_repository(tmp_path_factory.mktemp("built") / "repository", small_request)
