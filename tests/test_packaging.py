"""The distribution holds every package and data file that the sources have."""

from __future__ import annotations

import tomllib
from typing import Any

from shared_data import ROOT


def _settings() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"])


def test_every_folder_with_modules_is_a_listed_package() -> None:
    found = set()
    for root in ("sat2sound", "export", "serving", "clients"):
        for init in (ROOT / root).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            found.add(".".join(parts if root == "sat2sound" else ("sat2sound", *parts)))
    assert sorted(found) == sorted(_settings()["packages"])


def test_every_data_pattern_matches_files() -> None:
    settings = _settings()
    folders = settings["package-dir"]
    for package, patterns in settings["package-data"].items():
        base = folders.get(package) or package.replace(".", "/")
        for pattern in patterns:
            assert list((ROOT / base).glob(pattern)), f"{package}: nothing matches {pattern}"
