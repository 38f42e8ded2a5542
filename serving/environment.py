"""The Python environment that the server runs in (`.triton`): where its parts are, and whether they fit together.

The `nvidia-pytriton` wheel carries a genuine Triton server, its libraries, the python backend and one stub process per
Python version. It lives in an environment of its own, because that stub hands out EMPTY tensors under numpy 2, without
any error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sat2sound.serving.errors import UnusableEnvironment

ROOT = Path(__file__).resolve().parent.parent
PREFIX_VARIABLE = "SAT2SOUND_TRITON_ENVIRONMENT"
_SETUP = "run `make setup`"
_PREPROCESSING = ("pillow", "tokenizers", "soundfile", "soxr", "pyarrow")
_NEEDED = ("nvidia-pytriton", "numpy", "onnxruntime", *_PREPROCESSING, "sat2sound")

# Asked of the environment's own interpreter: only it knows its packages and where its shared library is.
_PROBE = """
import json, sys, sysconfig
from importlib import metadata
versions = {}
for name in sys.argv[1:]:
    try:
        versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "packages": sysconfig.get_path("platlib"),
    "library": sysconfig.get_config_var("INSTSONAME"),
    "folders": [sysconfig.get_config_var("LIBDIR"), sys.base_prefix + "/lib"],
    "versions": versions,
}))
"""
_LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")


@dataclass(frozen=True)
class ServingEnvironment:
    """Where the parts of the server are.

    prefix: the virtual environment. binary: tritonserver. libraries: what the wheel bundles for it. libpython: folder
    of the interpreter's shared library. python_backend: folder of libtriton_python.so. stub: the process that runs a
    python model under this Python. caches: folder of the response cache. versions: package -> version.
    """

    prefix: Path
    binary: Path
    libraries: Path
    libpython: Path
    python_backend: Path
    stub: Path
    caches: Path
    versions: Mapping[str, str]


def find_environment(prefix: Path | None = None) -> ServingEnvironment:
    """Locate and check the server's environment.

    prefix: a virtual environment; default: the variable SAT2SOUND_TRITON_ENVIRONMENT, else `.triton` beside this
    package.
    Raises UnusableEnvironment: missing or incomplete, numpy 2, or a Python without a shared library.
    """
    prefix = prefix or Path(os.environ.get(PREFIX_VARIABLE) or ROOT / ".triton")
    facts = _probe(prefix)
    versions: dict[str, str] = facts["versions"]
    missing = [name for name in _NEEDED if name not in versions]
    if missing:
        raise UnusableEnvironment(f"{prefix} lacks {', '.join(missing)}", fix=_SETUP)
    if int(versions["numpy"].split(".")[0]) >= 2:
        raise UnusableEnvironment(
            f"{prefix} has numpy {versions['numpy']}: with numpy 2 this server answers with empty tensors, silently",
            fix=f"install numpy<2 there: {prefix}/bin/pip install 'numpy<2'",
        )
    packages = Path(facts["packages"])
    server = packages / "pytriton" / "tritonserver"
    found = ServingEnvironment(
        prefix=prefix,
        binary=server / "bin" / "tritonserver",
        libraries=packages / "nvidia_pytriton.libs",
        libpython=_libpython(prefix, facts["library"], facts["folders"]),
        python_backend=server / "backends" / "python",
        stub=server / "python_backend_stubs" / facts["python"] / "triton_python_backend_stub",
        caches=server / "caches",
        versions=versions,
    )
    for path in (found.binary, found.libraries, found.python_backend / "libtriton_python.so", found.stub):
        if not path.exists():
            raise UnusableEnvironment(
                f"{path} is missing from nvidia-pytriton {versions['nvidia-pytriton']} (Python {facts['python']})",
                fix="use Python 3.11 on Linux with glibc 2.35 or newer, remove the environment and run `make setup`",
            )
    return found


def check_libraries(found: ServingEnvironment) -> None:
    """Let the dynamic loader resolve what server and stub link to, without running them.

    Raises UnusableEnvironment listing the libraries, and versions of libraries such as glibc's, that are not there.
    """
    variables = {**process_environment(found), "LD_TRACE_LOADED_OBJECTS": "1"}
    for file in (found.binary, found.stub):
        try:
            traced = subprocess.run([file], env=variables, capture_output=True, text=True, timeout=60)
        except OSError as error:
            problem = f"{file} does not run here ({error.strerror}): it is for Linux with glibc on x86-64"
        else:
            lines = (traced.stdout + traced.stderr).splitlines()
            lacking = sorted({line.strip() for line in lines if "not found" in line})
            if not lacking and traced.returncode == 0:
                continue
            problem = f"{file} lacks libraries: {'; '.join(lacking) or traced.stderr.strip()[-300:]}"
        raise UnusableEnvironment(problem, fix="use Python 3.11 with its shared library, on glibc 2.35 or newer")


def process_environment(found: ServingEnvironment, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables of the server process, on top of `base`.

    PYTHON* variables of the caller are dropped: they would let another numpy into the stubs. Threads of numerical
    libraries are set to 1: there is one process per model instance, and they share the cores.
    """
    variables = {name: value for name, value in base.items() if not name.startswith(("PYTHON", "LD_", "VIRTUAL_ENV"))}
    variables |= {
        "LD_LIBRARY_PATH": f"{found.libraries}:{found.libpython}",
        "VIRTUAL_ENV": str(found.prefix),
        "PATH": f"{found.prefix}/bin:{base.get('PATH', '/usr/bin:/bin')}",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return variables


def _probe(prefix: Path) -> Any:
    python = prefix / "bin" / "python"
    if not python.exists():
        raise UnusableEnvironment(f"the server's Python environment {prefix} does not exist", fix=_SETUP)
    try:
        # -I: the caller's PYTHONPATH and working directory must not answer for the environment.
        asked = subprocess.run([python, "-I", "-c", _PROBE, *_NEEDED], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnusableEnvironment(f"{python} does not run ({error})", fix=f"remove {prefix} and {_SETUP}") from error
    if asked.returncode != 0:
        raise UnusableEnvironment(f"{python} fails: {asked.stderr.strip()[-500:]}", fix=f"remove {prefix} and {_SETUP}")
    return json.loads(asked.stdout)


def _libpython(prefix: Path, library: str, folders: list[str]) -> Path:
    for folder in (*folders, *_LIBRARY_FOLDERS):
        if library.startswith("libpython") and ".so" in library and (Path(folder) / library).exists():
            return Path(folder)
    raise UnusableEnvironment(
        f"the Python of {prefix} has no shared library ({library}), which the server's python backend links to",
        fix="install one built with --enable-shared (Debian: libpython3.11; pyenv: PYTHON_CONFIGURE_OPTS), remove the "
        "environment and run `make setup PYTHON=...`",
    )


def main() -> int:
    """Say whether a server can run in the environment; for the set-up."""
    try:
        check_libraries(find_environment())
    except UnusableEnvironment as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
