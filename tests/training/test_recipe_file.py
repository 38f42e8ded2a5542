"""Recipe files: three formats, one truth, and clear words for what is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from sat2sound.errors import ConfigurationError
from sat2sound.training.pair_recipe import PairRecipe
from sat2sound.training.recipe import Phase, Recipe
from sat2sound.training.recipe_file import RecipeFile, SoundRecipe, load_recipe, parse_recipe, recipe_names


def test_the_published_recipe() -> None:
    """The numbers of the paper, MODEL.md."""
    recipe = load_recipe("published")
    assert recipe.model == "bingmap-withmeta"
    assert recipe.pairs == PairRecipe(
        batch=128,
        accumulate=1,
        epochs=20,
        learning_rate=5e-5,
        betas=(0.9, 0.98),
        weight_decay=0.2,
        restart_steps=5000,
        gradient_norm=0.5,
        zoom_levels=(1, 3, 5),
        metadata_drop=0.5,
        spec_augment=1.0,
        pseudo_positives=0.1,
    )
    assert recipe.pairs == PairRecipe()


def test_all_that_come_with_the_package() -> None:
    assert recipe_names() == ["published", "starter", "starter-short", "starter-sounds"]
    assert load_recipe("starter").scenes == Recipe()
    assert load_recipe("starter-sounds").sounds == SoundRecipe()
    short = load_recipe("starter-short").scenes
    assert short is not None
    assert (short.label_phases, short.phases) == ((), (Phase(96, 8),))


def test_three_formats_say_the_same(tmp_path: Path) -> None:
    texts = {
        "recipe.json": '{"model": "starter", "pairs": {"learning_rate": 5e-5, "zoom_levels": [1, 3], "batch": 8}}',
        "recipe.toml": 'model = "starter"\n[pairs]\nlearning_rate = 5e-5\nzoom_levels = [1, 3]\nbatch = 8\n',
        "recipe.yaml": "model: starter\npairs:\n  learning_rate: 5e-5\n  zoom_levels: [1, 3]\n  batch: 8\n",
    }
    found = []
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        found.append(load_recipe(tmp_path / name))
    expected = RecipeFile("starter", PairRecipe(learning_rate=5e-5, zoom_levels=(1, 3), batch=8))
    assert found == [expected, expected, expected]


def test_changes_go_before_the_file() -> None:
    changes = {"scenes.phases": [{"image_size": 64, "epochs": 2}], "scenes.image.blur": 0, "scenes.learning_rate": 1}
    recipe = load_recipe("starter", changes).scenes
    assert recipe is not None
    assert (recipe.phases, recipe.image.blur, recipe.learning_rate) == ((Phase(64, 2),), 0.0, 1.0)
    with pytest.raises(ConfigurationError, match=r"model\.name cannot be set: model is no group of settings"):
        load_recipe("starter", {"model.name": "x"})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "the file: Input should be"),
        ({"pairs": {}}, "model: Field required"),
        ({"model": "starter"}, "none of pairs, scenes, sounds given; expected one"),
        ({"model": "starter", "pairs": {}, "scenes": {}}, "pairs, scenes of pairs, scenes, sounds given; expected one"),
        ({"model": "starter", "pairs": {"bacth": 3}}, r"unknown pairs\.bacth \(known: batch, accumulate, "),
        (
            {"model": "starter", "scenes": {"phases": [{"size": 3}]}, "lr": 1},
            r"unknown lr .*; unknown scenes\.phases\.size \(known: image_size, epochs\)",
        ),
        ({"model": "starter", "scenes": {"audio": {"repeet": 1}}}, r"unknown scenes\.audio\.repeet"),
        ({"model": "starter", "pairs": {"batch": "8"}}, r"pairs\.batch: Input should be a valid integer \(found '8'\)"),
        ({"model": "starter", "pairs": {"batch": 8.5}}, r"pairs\.batch: Input should be a valid integer"),
        ({"model": "starter", "pairs": {"batch": True}}, r"pairs\.batch: Input should be a valid integer"),
        ({"model": "starter", "pairs": {"betas": [0.9]}}, r"pairs\.betas\.1: Field required"),
        ({"model": "starter", "pairs": {"batch": 0}}, r"pairs\.batch is 0, expected more than 0"),
        ({"model": "starter", "pairs": {"learning_rate": float("nan")}}, r"pairs\.learning_rate is nan, expected more"),
        ({"model": "starter", "pairs": {"metadata_drop": 1.5}}, r"pairs\.metadata_drop is 1\.5, expected 0 to 1"),
        (
            {"model": "starter", "pairs": {"zoom_levels": []}},
            r"pairs\.zoom_levels are \[\], expected levels",
        ),
        ({"model": "starter", "scenes": {"phases": []}}, r"scenes\.phases are none"),
        (
            {"model": "starter", "scenes": {"phases": [{"image_size": 0, "epochs": 1}]}},
            r"scenes\.phases\.image_size is 0, expected more than 0",
        ),
        (
            {"model": "starter", "sounds": {"alignment": {"average": 2}}},
            r"sounds\.alignment\.average is 2\.0, expected 0 to 1",
        ),
    ],
)
def test_what_is_wrong_is_named(document: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_recipe(document)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "a.json is not JSON: "),
        ("a.toml", "model", "a.toml is not TOML: "),
        ("a.yaml", "{", "a.yaml is not YAML: "),
        ("a.yml", "!!python/object/apply:os.system ['true']", "a.yml is not YML: could not determine a constructor"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        load_recipe(tmp_path / name)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"no recipe 'publsihed' .*known: published, starter, starter-short"):
        load_recipe("publsihed")


def test_every_value_is_in_what_a_checkpoint_remembers() -> None:
    document = json.loads(json.dumps(load_recipe("published").to_dict()))
    assert set(document["pairs"]) == {field.name for field in dataclasses.fields(PairRecipe)}
    assert parse_recipe(document) == load_recipe("published")
