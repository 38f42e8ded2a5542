"""Prints exact versions of what a container image installs: `python -m tools.lock_image EXTRAS PYTHON`.

The image's Python is not this machine's, so pip is asked for another's wheels; it resolves and installs nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.utils import canonicalize_name

_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
# What glibc 2.39 (Ubuntu 24.04, Triton's image) can load; pip does not add the older ones by itself.
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (39, 34, 28, 27, 24, 17, 12, 5)]
_PLATFORMS += ["manylinux2014_x86_64", "linux_x86_64"]


def requirements(extras: list[str]) -> list[str]:
    """What pyproject.toml asks for with these extras. Raises KeyError for one that it does not know."""
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


def resolve(wanted: list[str], python: str, constraints: Path | None = None) -> dict[str, str]:
    """Name -> version, as pip chooses for another Python. Raises CalledProcessError if there is no solution."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        command += ["--ignore-installed", f"--target={scratch}/none", f"--report={report}", "--only-binary=:all:"]
        command += [f"--python-version={python}", *(f"--platform={name}" for name in _PLATFORMS)]
        command += [f"--constraint={constraints}"] if constraints else []
        subprocess.run([*command, *wanted], check=True)
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {canonicalize_name(entry["metadata"]["name"]): entry["metadata"]["version"] for entry in chosen}


def main() -> None:
    """Parse the options and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", help="comma-separated")
    parser.add_argument("python", help="the image's, e.g. 3.12")
    parser.add_argument("--check", type=Path, help="resolve within these constraints instead, and print nothing else")
    options = parser.parse_args()
    found = resolve(requirements(options.extras.split(",")), options.python, options.check)
    if options.check:
        print(f"{options.check}: {len(found)} packages resolve for Python {options.python}")
        return
    print(f"# Exact versions for Python {options.python} in Triton's image, found by 'make lock'.")
    for name, version in sorted(found.items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
