"""The folder that the server takes its backends from: the wheel's python backend and our `onnxruntime` backend."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from sat2sound.atomic_files import replacing_file
from sat2sound.serving.environment import ROOT, ServingEnvironment

DEFAULT_FOLDER = ROOT / "build" / "triton-backends"
_OURS = Path(__file__).parent / "backends"


def lay_out_backends(environment: ServingEnvironment, folder: Path = DEFAULT_FOLDER) -> Path:
    """Bring `folder` up to date and return it.

    <folder>/python: the python backend with the stub for this Python beside it, which is where the server looks for it.
    <folder>/<name>/model.py: each python-based backend of ours. Files that are up to date are left alone and others are
    replaced by renaming, so that servers may start from the same folder at the same time.
    """
    parts = (path for path in environment.python_backend.iterdir() if path.suffix in (".so", ".py"))
    sources = {Path("python") / path.name: path for path in parts}
    sources[Path("python") / environment.stub.name] = environment.stub
    sources |= {path.relative_to(_OURS): path for path in _OURS.glob("*/model.py")}
    for relative, source in sources.items():
        _place(source, folder / relative)
    return folder


def _place(source: Path, target: Path) -> None:
    """Copy unless the target already has the same bytes."""
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(target) as partial:
        shutil.copyfile(source, partial)
        shutil.copymode(source, partial)
