"""The captions that training uses, and the wordings that it never sees: TOML files in `captions/`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sat2sound.errors import ConfigurationError

FOLDER = Path(__file__).parent / "captions"
NAMES_PER_SCENE = 3  # of the held-out wordings of a scene the first are names, the rest describe what is heard

Captions = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class CaptionFiles:
    """scenes: per image scene; sounds: per recording label; held_out_scenes, held_out_groups: for evaluation only."""

    scenes: Captions
    sounds: Captions
    held_out_scenes: Captions
    held_out_groups: Captions


def read_caption_files(folder: Path = FOLDER) -> CaptionFiles:
    """Every caption in `folder`. Raises ConfigurationError if a file is damaged or a held-out wording is trained on."""
    scenes: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.glob("scenes_*.toml")):
        scenes.update(_lists(_parse(path), path))
    held_out = _parse(folder / "held_out.toml")
    files = CaptionFiles(
        scenes=scenes,
        sounds=_lists(_parse(folder / "sounds.toml"), folder / "sounds.toml"),
        held_out_scenes=_lists(held_out.get("scenes"), folder / "held_out.toml"),
        held_out_groups=_lists(held_out.get("groups"), folder / "held_out.toml"),
    )
    trained = {text for texts in (*files.scenes.values(), *files.sounds.values()) for text in texts}
    held = {text for texts in (*files.held_out_scenes.values(), *files.held_out_groups.values()) for text in texts}
    if trained & held:
        raise ConfigurationError(f"held-out wordings are also training captions: {', '.join(sorted(trained & held))}")
    return files


def _parse(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: not a readable caption file ({error})") from error


def _lists(table: object, path: Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: expected a table of lists of captions")
    for key, texts in table.items():
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(text, str) and text.strip() for text in texts)
        ):
            raise ConfigurationError(f"{path}: {key!r} must be a list of captions that are not empty")
    return {key: tuple(texts) for key, texts in table.items()}
