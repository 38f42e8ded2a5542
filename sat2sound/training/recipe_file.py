"""Recipe files: JSON, TOML or YAML that says which model is trained how. Some come with the package."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from sat2sound.errors import ConfigurationError
from sat2sound.training.audio_warm_up import AudioWarmUp
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.recipe import Recipe
from sat2sound.training.sound_alignment import SoundAlignment

FOLDER = Path(__file__).parent / "recipes"
SUFFIXES = (".json", ".toml", ".yaml", ".yml")
KINDS = ("pairs", "scenes", "sounds")
# Settings by what they may be, in whichever group they are.
_POSITIVE = frozenset(
    (
        *("accumulate", "audio_every", "batch", "epochs", "evaluate_every", "gradient_norm", "image_size", "images"),
        *("label_learning_rate", "learning_rate", "partners", "recordings", "restart_steps", "validation_samples"),
        *("views", "warm_up_steps"),
    )
)
_SHARES = frozenset(
    (
        *("average", "drop_path", "label_smoothing", "mask", "max_skipped", "metadata_drop", "mix", "mixing"),
        *("repeat", "spec_augment", "token_dropout"),
    )
)


@dataclass(frozen=True)
class SoundRecipe:
    """The starter's sounds alone: the audio encoder's warm-up, then its alignment."""

    warm_up: AudioWarmUp = field(default_factory=AudioWarmUp)
    alignment: SoundAlignment = field(default_factory=SoundAlignment)
    seed: int = 0


@dataclass(frozen=True)
class RecipeFile:
    """model: name of a configuration, or its JSON file. One of: pairs (any dataset of places and recordings, as
    published), scenes (the starter), sounds (its sounds alone)."""

    model: str
    pairs: PairRecipe | None = None
    scenes: Recipe | None = None
    sounds: SoundRecipe | None = None

    @property
    def chosen(self) -> PairRecipe | Recipe | SoundRecipe:
        """The one that is given."""
        return next(recipe for recipe in (self.pairs, self.scenes, self.sounds) if recipe is not None)

    def to_dict(self) -> dict[str, Any]:
        """Every value, for checkpoints and logs."""
        return dataclasses.asdict(self)


def recipe_names() -> list[str]:
    """Those that come with the package."""
    return sorted(path.stem for path in FOLDER.iterdir() if path.suffix in SUFFIXES)


def load_recipe(name_or_path: str | Path, changes: dict[str, Any] | None = None) -> RecipeFile:
    """A recipe by name ("published") or from a file. Raises ConfigurationError naming what is wrong.

    changes: dotted names and values that replace the file's, e.g. {"pairs.batch": 64}.
    """
    path = Path(name_or_path)
    if path.suffix not in SUFFIXES:
        path = FOLDER / f"{path.name}.json"
    try:
        document = _read(path)
    except OSError as error:
        raise ConfigurationError(
            f"no recipe {str(name_or_path)!r} ({error.strerror}); known: {', '.join(recipe_names())}, or a file "
            f"that ends in {', '.join(SUFFIXES)}"
        ) from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not {path.suffix[1:].upper()}: {' '.join(str(error).split())}") from None
    for name, value in (changes or {}).items():
        _change(document, name, value)
    return parse_recipe(document, str(path))


def parse_recipe(document: Any, where: str = "the recipe") -> RecipeFile:
    """As `load_recipe`, of what a file holds."""
    unknown = _unknown(document, RecipeFile)
    if unknown:
        raise ConfigurationError(f"{where}: unknown {'; unknown '.join(unknown)}")
    try:
        recipe: RecipeFile = TypeAdapter(RecipeFile).validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, entry['loc'])) or 'the file'}: {entry['msg']} (found {str(entry['input'])[:40]!r})"
            for entry in error.errors()
        )
        raise ConfigurationError(f"{where}: {problems}") from None
    given = [kind for kind in KINDS if getattr(recipe, kind) is not None]
    if len(given) != 1:
        raise ConfigurationError(f"{where}: {', '.join(given) or 'none'} of {', '.join(KINDS)} given; expected one")
    problems_found = _out_of_range(recipe.chosen, given[0])
    if problems_found:
        raise ConfigurationError(f"{where}: {'; '.join(problems_found)}")
    return recipe


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        return tomllib.loads(text)
    return json.loads(text) if path.suffix == ".json" else yaml.load(text, _Yaml)  # noqa: S506 (a SafeLoader)


class _Yaml(yaml.SafeLoader):  # type: ignore[misc]  # yaml comes without types
    """Also takes 5e-5 for a number, as JSON and TOML do."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def _unknown(document: Any, kind: Any, place: str = "") -> list[str]:
    """Names in the document that no dataclass has, nested ones dotted: a misspelled setting must not be ignored."""
    if isinstance(document, list):
        return [name for item in document for name in _unknown(item, kind, place)]
    if not isinstance(document, dict):
        return []
    known = [entry.name for entry in dataclasses.fields(kind)]
    found = [f"{place}{name} (known: {', '.join(known)})" for name in document if name not in known]
    for name, nested in _nested(kind).items():
        found += _unknown(document.get(name), nested, f"{place}{name}.")
    return found


def _nested(kind: Any) -> dict[str, Any]:
    """Fields of a dataclass that are, or are a list of, dataclasses themselves."""
    return {
        name: option
        for name, hint in get_type_hints(kind).items()
        for option in (hint, *get_args(hint))
        if dataclasses.is_dataclass(option)
    }


def _change(document: Any, name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        if not isinstance(document, dict):
            break
        document = document.setdefault(parent, {})
    if not isinstance(document, dict):
        raise ConfigurationError(f"{name} cannot be set: {'.'.join(parents)} is no group of settings")
    document[last] = value


def _out_of_range(recipe: Any, place: str) -> list[str]:
    """What no training can be made of, nested settings too."""
    problems = []
    for entry in dataclasses.fields(recipe):
        name, value = f"{place}.{entry.name}", getattr(recipe, entry.name)
        if dataclasses.is_dataclass(value):
            problems += _out_of_range(value, name)
        elif entry.name in ("phases", "label_phases"):
            if not value and entry.name == "phases":
                problems.append(f"{name} are none, expected at least one")
            for phase in value:
                problems += _out_of_range(phase, name)
        elif entry.name == "zoom_levels" and not (value and all(1 <= level <= 10 for level in value)):
            problems.append(f"{name} are {list(value)}, expected levels of 1 to 10")
        elif entry.name in _POSITIVE and not (value > 0 and math.isfinite(value)):
            problems.append(f"{name} is {value}, expected more than 0")
        elif entry.name in _SHARES and not 0 <= value <= 1:
            problems.append(f"{name} is {value}, expected 0 to 1")
    return problems
