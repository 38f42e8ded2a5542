from __future__ import annotations

import os
from pathlib import Path

from shared_data import ROOT

from sat2sound.serving.backend_folder import lay_out_backends
from sat2sound.serving.environment import ServingEnvironment


def files_in(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_the_stub_lies_beside_the_backend_and_our_backend_has_its_name(
    triton_environment: ServingEnvironment, tmp_path: Path
) -> None:
    files = files_in(lay_out_backends(triton_environment, tmp_path / "backends"))
    assert files.keys() == {
        "python/libtriton_python.so",
        "python/triton_python_backend_utils.py",
        "python/triton_python_backend_stub",
        "onnxruntime/model.py",
    }
    stub = files["python/triton_python_backend_stub"]
    assert stub.read_bytes() == triton_environment.stub.read_bytes()
    assert os.access(stub, os.X_OK)
    ours = ROOT / "serving" / "backends" / "onnxruntime" / "model.py"
    assert files["onnxruntime/model.py"].read_bytes() == ours.read_bytes()


def test_only_what_differs_is_replaced(triton_environment: ServingEnvironment, tmp_path: Path) -> None:
    files = files_in(lay_out_backends(triton_environment, tmp_path))
    stale = files["onnxruntime/model.py"]
    before = {name: path.stat().st_ino for name, path in files.items()}
    stale.write_text("raise SystemExit\n")
    after = {
        name: path.stat().st_ino for name, path in files_in(lay_out_backends(triton_environment, tmp_path)).items()
    }
    assert {name for name in before if after[name] != before[name]} == {"onnxruntime/model.py"}
    assert "TritonPythonModel" in stale.read_text(encoding="utf-8")
    assert after.keys() == before.keys()
