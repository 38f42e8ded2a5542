"""The container files against the project: what they copy and install exists, for the Python of their image."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from kubernetes_manifests import K8S
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from shared_data import ROOT

FILES = {file.name.partition(".")[0]: file.read_text() for file in (K8S / "containers").glob("*.Dockerfile")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What the images bring; for Triton's NVIDIA's compatibility table of 25.12 and later.
PYTHON = {"gateway": "3.11", "maps": "3.11", "triton": "3.12"}


def test_there_is_a_file_for_every_image() -> None:
    listed = yaml.safe_load((K8S / "components" / "images" / "kustomization.yaml").read_text())["images"]
    assert {entry["name"] for entry in listed} == {f"sat2sound-{name}" for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_and_installed_exists(name: str) -> None:
    text = FILES[name].replace("\\\n", " ")
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split()), sources
    (extras,) = re.findall(r'"\.\[([a-z,]+)\]"', text)
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    (constraints,) = re.findall(r"-c (requirements/\S+)", text)
    assert f"COPY {constraints} " in text
    assert Version(PYTHON[name]) in SpecifierSet(PROJECT["requires-python"])
    assert (
        f"{extras} {PYTHON[name]} --check {constraints}" in (ROOT / "Makefile").read_text()
    )  # `make containers-check`
    # Roots of packages that setuptools maps must be there when the project is built.
    assert {"sat2sound", "export", "serving", "clients"} <= set(re.findall(r"^COPY (\S+) ", text, re.MULTILINE))
    assert re.search(r"^USER 1000:1000$", text, re.MULTILINE)


def test_pinning_reaches_every_image(tmp_path: Path) -> None:
    """In place of a registry: a `crane` that answers each question with a digest of its own."""
    tree = Path(shutil.copytree(K8S, tmp_path / "k8s"))
    crane = tmp_path / "bin" / "crane"
    crane.parent.mkdir()
    crane.write_text('#!/bin/sh\necho "sha256:$(printf %s "$2" | sha256sum | cut -c1-64)"\n')
    crane.chmod(0o755)
    if shutil.which("kustomize") is None:
        pytest.skip("kustomize is not installed")
    environment = {**os.environ, "PATH": f"{crane.parent}:{os.environ['PATH']}"}
    script = ["sh", str(tree / "pin_images.sh")]
    assert subprocess.run(script, capture_output=True, env=environment, check=False).returncode == 2
    subprocess.run([*script, "registry.test/x", "1.2.3"], capture_output=True, env=environment, check=True)
    for overlay in ("gpu", "kserve-gpu"):
        command = ["kustomize", "build", str(tree / "overlays" / overlay)]
        built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = set(re.findall(r"image: (\S+)", built))
        expected = {name: hashlib.sha256(f"registry.test/x/{name}:1.2.3".encode()).hexdigest() for name in FILES}
        assert found == {f"registry.test/x/{name}@sha256:{expected[name]}" for name in ("triton", "gateway")}


def test_python_images_have_the_python_of_the_list() -> None:
    for name in ("gateway", "maps"):
        assert f"python:{PYTHON[name]}-" in FILES[name]


def test_triton_is_new_enough_and_pinned() -> None:
    (year, month) = re.findall(r"tritonserver:(\d+)\.(\d+)-py3", FILES["triton"])[0]
    assert (int(year), int(month)) >= (26, 3)


def test_constraints_of_tritons_image_fit_what_is_asked_for() -> None:
    lines = (ROOT / "requirements" / "triton-image-constraints.txt").read_text().splitlines()
    pinned = {
        name.lower().replace("_", "-"): Version(version)
        for name, version in (line.split("==") for line in lines if "==" in line)
    }
    asked = [*PROJECT["dependencies"]]
    for extra in ("triton", "fetch", "tensorrt"):
        asked += PROJECT["optional-dependencies"][extra]
    for line in asked:
        name, bounds = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?(.*)", line).groups()  # type: ignore[union-attr]
        assert pinned[name.lower().replace("_", "-")] in SpecifierSet(bounds), line
    # tritonclient needs an older one than the embedded server's environment has.
    assert pinned["protobuf"] < Version("7")
