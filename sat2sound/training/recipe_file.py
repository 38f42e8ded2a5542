"""Recipe files: JSON that says which model is trained how. Three come with the package."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sat2sound.errors import ConfigurationError
from sat2sound.training.audio_warm_up import AudioWarmUp
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.recipe import Recipe
from sat2sound.training.sound_alignment import SoundAlignment

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class SoundRecipe:
    """The starter's second stage: the audio encoder's warm-up, then its alignment."""

    warm_up: AudioWarmUp = field(default_factory=AudioWarmUp)
    alignment: SoundAlignment = field(default_factory=SoundAlignment)
    seed: int = 0


@dataclass(frozen=True)
class RecipeFile:
    """model: name of a configuration, or its JSON file. One of: pairs (any dataset of places and recordings, as
    published), scenes (the starter), sounds (its second stage)."""

    model: str
    pairs: PairRecipe | None = None
    scenes: Recipe | None = None
    sounds: SoundRecipe | None = None

    @property
    def chosen(self) -> PairRecipe | Recipe | SoundRecipe:
        """The one that is given."""
        return next(recipe for recipe in (self.pairs, self.scenes, self.sounds) if recipe is not None)

    def to_json(self) -> str:
        """Compact JSON with every value, for checkpoints and logs."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def recipe_names() -> list[str]:
    """Those that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_recipe(name_or_path: str | Path, changes: dict[str, Any] | None = None) -> RecipeFile:
    """A recipe by name ("published") or from a JSON file. Raises ConfigurationError naming what is wrong.

    changes: dotted names and values that replace the file's, e.g. {"pairs.batch": 64}.
    """
    path = Path(name_or_path)
    if path.suffix != ".json":
        path = FOLDER / f"{path.name}.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"no recipe {str(name_or_path)!r} ({error.strerror}); known: {', '.join(recipe_names())}, or a .json file"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    for name, value in (changes or {}).items():
        _change(document, name, value)
    return parse_recipe(document, str(path))


def parse_recipe(document: Any, where: str = "the recipe") -> RecipeFile:
    """As `load_recipe`, of a JSON document."""
    unknown = _unknown(document, RecipeFile)
    if unknown:
        raise ConfigurationError(f"{where}: unknown {', '.join(unknown)}")
    try:
        recipe: RecipeFile = TypeAdapter(RecipeFile).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, entry['loc'])) or 'the file'}: {entry['msg']} (found {str(entry['input'])[:40]!r})"
            for entry in error.errors()
        )
        raise ConfigurationError(f"{where}: {problems}") from None
    given = sum(part is not None for part in (recipe.pairs, recipe.scenes, recipe.sounds))
    if given != 1:
        raise ConfigurationError(f"{where}: {given} of pairs, scenes and sounds are given; expected one")
    _check_positive(recipe.chosen, where)
    return recipe


def _unknown(document: Any, kind: Any, place: str = "") -> list[str]:
    """Names in the document that no dataclass has, nested ones dotted: a misspelled setting must not be ignored."""
    if not isinstance(document, dict):
        return []
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    found = [f"{place}{name} (known: {', '.join(fields)})" for name in document if name not in fields]
    hints = _nested(kind)
    for name, value in document.items():
        if name in hints:
            found += _unknown(value, hints[name], f"{place}{name}.")
    return found


def _nested(kind: Any) -> dict[str, Any]:
    """Fields of a dataclass that are dataclasses themselves."""
    from typing import get_args, get_type_hints

    nested = {}
    for name, hint in get_type_hints(kind).items():
        for option in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(option) and name != "phases":
                nested[name] = option
    return nested


def _change(document: Any, name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        if not isinstance(document, dict):
            break
        document = document.setdefault(parent, {})
    if not isinstance(document, dict):
        raise ConfigurationError(f"{name} cannot be set: {'.'.join(parents)} is no group of settings")
    document[last] = value


def _check_positive(recipe: Any, where: str) -> None:
    """Sizes and rates must be above 0; shares between 0 and 1."""
    positive = ("batch", "accumulate", "epochs", "learning_rate", "restart_steps", "gradient_norm", "steps")
    for entry in dataclasses.fields(recipe):
        value = getattr(recipe, entry.name)
        if entry.name in positive and not value > 0:
            raise ConfigurationError(f"{where}: {entry.name} is {value}, expected more than 0")
        if entry.name in ("metadata_drop", "spec_augment", "max_skipped") and not 0 <= value <= 1:
            raise ConfigurationError(f"{where}: {entry.name} is {value}, expected 0 to 1")
        if entry.name == "zoom_levels" and not (value and all(1 <= level <= 10 for level in value)):
            raise ConfigurationError(f"{where}: zoom_levels are {value}, expected levels of 1 to 10")
