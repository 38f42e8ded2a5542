"""Which files a person means: paths, patterns, folders, lists of names, and what comes in on standard input."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from sat2sound.clients.inputs import file_start
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.image_files import SUFFIXES as IMAGE_SUFFIXES
from sat2sound.preprocessing.image_files import image_format

Kind = Literal["image", "audio"]

STANDARD_INPUT = "-"
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})


def find_files(names: Iterable[str]) -> list[str]:
    """The files that the names stand for, in their order, each once; "-" is left as it is.

    A name is a file, a folder (all images and recordings below it, sorted), or a pattern with * ? [] and ** for folders
    at any depth. Raises InvalidInput for patterns and folders that hold nothing. A file that does not exist is left in:
    whoever opens it says so.
    """
    found: dict[str, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = sorted(str(file) for file in path.rglob("*") if _is_ours(file))
        elif glob.has_magic(name) and not path.exists():
            files = sorted(file for file in glob.glob(name, recursive=True) if Path(file).is_file())  # noqa: PTH207
        else:
            files = [name]
        if not files:
            raise InvalidInput(
                f"{name} holds no file",
                expected="a pattern or a folder with images or recordings",
                fix="check the name; a folder is searched for " + ", ".join(sorted(IMAGE_SUFFIXES | AUDIO_SUFFIXES)),
            )
        found.update(dict.fromkeys(files))
    return list(found)


def names_in(text: str) -> list[str]:
    """The names of a list of files, one to a line; empty lines do not count."""
    return [line for line in (line.strip("\r") for line in text.split("\n")) if line.strip()]


def kind_of(path: Path) -> Kind:
    """Whether a file is an image or a recording: by its suffix, else by its first bytes. Raises InvalidInput."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in AUDIO_SUFFIXES:
        return "audio"
    start = file_start(path)
    try:
        image_format(start)
    except InvalidInput:
        if start[:4] in (b"RIFF", b"fLaC", b"OggS") or start[:3] == b"ID3" or start[:1] == b"\xff":
            return "audio"
        raise
    return "image"


def _is_ours(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
