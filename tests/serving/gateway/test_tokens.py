"""Tokens from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sat2sound.errors import ConfigurationError
from sat2sound.serving.gateway.tokens import Tokens


def test_only_listed_tokens_are_admitted(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("one # the app's\n\n  two  \n# three\n")
    tokens = Tokens(file)
    assert tokens.admits("Bearer one")
    assert tokens.admits("bearer two")
    for given_value in (None, "", "Bearer", "Bearer three", "Bearer one two", "Basic one", "one"):
        assert not tokens.admits(given_value), given_value


@given(some.text(max_size=40))
def test_nothing_else_opens(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    file = tmp_path_factory.getbasetemp() / "tokens-of-nothing-else"
    file.write_text("7f0c-a-long-token\n")
    assert Tokens(file).admits(value) is (value.strip().lower().startswith("bearer ") and "7f0c-a-long-token" in value)


def test_a_file_without_tokens_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Tokens(file)
    file.write_text("# none\n")
    with pytest.raises(ConfigurationError, match="holds no token"):
        Tokens(file)


def test_a_file_that_is_away_for_a_moment_keeps_its_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sat2sound.serving.gateway.tokens._CHECK_SECONDS", 0.0)
    file = tmp_path / "tokens"
    file.write_text("one\n")
    tokens = Tokens(file)
    file.unlink()
    assert tokens.admits("Bearer one")
    file.write_text("two\n")
    assert tokens.admits("Bearer two")
    assert not tokens.admits("Bearer one")
