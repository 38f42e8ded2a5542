from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from shared_data import ROOT

from sat2sound.serving.environment import ServingEnvironment, check_libraries, find_environment, process_environment
from sat2sound.serving.errors import UnusableEnvironment


def virtual_environment(folder: Path, *packages: Path) -> Path:
    """An environment that sees other environments' packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (site / "others.pth").write_text("".join(f"{path}\n" for path in packages))
    return folder


def packages_of(prefix: Path) -> Path:
    return next((prefix / "lib").glob("python3.*")) / "site-packages"


def test_every_part_of_the_server_is_found(triton_environment: ServingEnvironment) -> None:
    assert triton_environment.binary.name == "tritonserver"
    assert triton_environment.stub.parent.name == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (triton_environment.libpython / "libpython3.11.so.1.0").exists()
    assert (triton_environment.caches / "local" / "libtritoncache_local.so").exists()
    assert triton_environment.versions["numpy"].startswith("1.")


def test_the_binary_finds_its_libraries_in_the_process_environment(triton_environment: ServingEnvironment) -> None:
    variables = process_environment(triton_environment, {"PATH": "/usr/bin:/bin"})
    for file in (triton_environment.binary, triton_environment.stub):
        listed = subprocess.run(["ldd", file], env=variables, capture_output=True, text=True, check=True).stdout
        assert "=>" in listed
        assert "not found" not in listed


def test_missing_libraries_are_named(triton_environment: ServingEnvironment, tmp_path: Path) -> None:
    check_libraries(triton_environment)
    stub = Path(shutil.copy(triton_environment.stub, tmp_path))  # which finds nothing relative to itself any more
    with pytest.raises(UnusableEnvironment, match=r"stub lacks libraries: libcudart.* => not found.*shared library"):
        check_libraries(replace(triton_environment, stub=stub, libraries=tmp_path))
    foreign = tmp_path / "server"
    foreign.write_bytes(b"\x7fELF for another machine")
    foreign.chmod(0o755)
    with pytest.raises(UnusableEnvironment, match=r"server does not run here \(.*Linux with glibc"):
        check_libraries(replace(triton_environment, binary=foreign))


def test_the_callers_python_settings_do_not_reach_the_server(triton_environment: ServingEnvironment) -> None:
    variables = process_environment(
        triton_environment,
        {"PYTHONPATH": "/evil", "PYTHONHOME": "/x", "LD_PRELOAD": "y.so", "HOME": "/home/me", "PATH": "/bin"},
    )
    assert "PYTHONPATH" not in variables
    assert "PYTHONHOME" not in variables
    assert "LD_PRELOAD" not in variables
    assert variables["HOME"] == "/home/me"
    assert variables["PATH"] == f"{triton_environment.prefix}/bin:/bin"
    assert variables["OMP_NUM_THREADS"] == "1"


def test_numpy_2_is_refused(triton_environment: ServingEnvironment, tmp_path: Path) -> None:
    # This test's own environment has numpy 2; everything else comes from the server's.
    prefix = virtual_environment(
        tmp_path / "environment", packages_of(Path(sys.prefix)), packages_of(triton_environment.prefix)
    )
    with pytest.raises(UnusableEnvironment, match=r"has numpy 2\..*empty tensors.*numpy<2"):
        find_environment(prefix)


def test_a_missing_environment_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(UnusableEnvironment, match=r"nowhere does not exist; to fix it, run `make setup`"):
        find_environment(tmp_path / "nowhere")


def test_missing_packages_are_listed(tmp_path: Path) -> None:
    with pytest.raises(UnusableEnvironment, match=r"lacks nvidia-pytriton, numpy, onnxruntime, .*sat2sound"):
        find_environment(virtual_environment(tmp_path / "environment"))


def test_an_interpreter_that_fails_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(UnusableEnvironment, match="fails: broken"):
        find_environment(tmp_path)


def test_a_wheel_without_its_server_is_reported(triton_environment: ServingEnvironment, tmp_path: Path) -> None:
    # The packages are listed, but the server's files are looked for in the environment itself.
    prefix = virtual_environment(tmp_path / "environment", packages_of(triton_environment.prefix))
    with pytest.raises(UnusableEnvironment, match=r"tritonserver is missing from nvidia-pytriton"):
        find_environment(prefix)


def test_the_environment_can_be_chosen_by_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAT2SOUND_TRITON_ENVIRONMENT", str(tmp_path / "elsewhere"))
    with pytest.raises(UnusableEnvironment, match="elsewhere"):
        find_environment()


def test_the_default_is_beside_the_project(triton_environment: ServingEnvironment) -> None:
    assert triton_environment.prefix == ROOT / ".triton"
