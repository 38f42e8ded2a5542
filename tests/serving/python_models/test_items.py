from __future__ import annotations

from urllib.parse import quote

import pytest

from sat2sound.errors import InvalidInput
from sat2sound.serving.python_models.items import MESSAGE_BYTES, InvalidItems, each_item, fit


def bytes_in_trailers(message: str) -> int:
    """gRPC percent-encodes status messages."""
    return len(quote(message, safe="".join(map(chr, range(0x20, 0x7F))).replace("%", "")))


def refuse(index: int, problem: str = "it is odd") -> int:
    if index % 2:
        raise InvalidInput(problem, expected="even", fix="add one")
    return 10 * index


def test_good_items_come_back_in_order() -> None:
    assert each_item(3, lambda index: index * index) == [0, 1, 4]
    assert each_item(0, refuse) == []


def test_every_bad_item_is_listed_with_its_index() -> None:
    with pytest.raises(InvalidItems) as caught:
        each_item(4, refuse)
    line = "it is odd; expected even; to fix it, add one"
    assert str(caught.value) == f"item 1: {line}; item 3: {line}"
    assert caught.value.problems.keys() == {1, 3}


def test_other_errors_are_not_taken_for_bad_input() -> None:
    with pytest.raises(ZeroDivisionError):
        each_item(2, lambda index: 1 // index)


@pytest.mark.parametrize("problem", ["x" * 5000, "\N{SNOWMAN}" * 3000, "100 % \n" * 900])
@pytest.mark.parametrize("count", [1, 16, 64])
def test_a_message_always_fits_into_a_grpc_status(problem: str, count: int) -> None:
    with pytest.raises(InvalidItems) as caught:
        each_item(count * 2, lambda index: refuse(index, problem))
    message = str(caught.value)
    assert bytes_in_trailers(message) <= MESSAGE_BYTES
    assert all(f"item {index}: " in message for index in range(1, count * 2, 2))


def test_short_messages_are_not_touched() -> None:
    assert fit("caf\N{LATIN SMALL LETTER E WITH ACUTE} 100 %") == "caf\N{LATIN SMALL LETTER E WITH ACUTE} 100 %"
    assert fit("abcdefghij", room=8) == "abcd ..."
