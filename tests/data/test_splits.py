"""One spelling for splits that data sets spell in several ways."""

from __future__ import annotations

import pytest

from sat2sound.data.splits import canonical_split, choose_split
from sat2sound.errors import DatasetError


@pytest.mark.parametrize(
    ("written", "meant"),
    [("Train", "train"), ("training", "train"), (" valid ", "val"), ("dev", "val"), ("TEST", "test"), ("all", None)],
)
def test_spellings(written: str, meant: str | None) -> None:
    assert canonical_split(written) == meant


def test_the_datasets_own_name_is_chosen() -> None:
    assert choose_split("val", ["train", "validation"], "mine") == "validation"
    assert choose_split("validation", ["val"], "mine") == "val"
    assert choose_split("extra", ["train", "extra"], "mine") == "extra"
    with pytest.raises(DatasetError, match="mine has no rows of split 'test'; it has train, val"):
        choose_split("test", ["train", "val"], "mine")
    with pytest.raises(DatasetError, match="it has none"):
        choose_split("test", [], "mine")
