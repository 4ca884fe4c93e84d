"""The safety number as a person compares it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import RootKey
from p2pchat.core.links import encode_link
from p2pchat.core.verify import is_safety_number, read_verify_link, safety_number, verify_link

ALICE, BOB, MALLORY = (RootKey(bytes([n]) * 32) for n in (1, 2, 3))
NUMBER = safety_number(ALICE, BOB)


def test_it_is_the_same_for_both_and_another_for_others() -> None:
    assert safety_number(BOB, ALICE) == NUMBER
    assert len({NUMBER, safety_number(ALICE, MALLORY), safety_number(BOB, MALLORY)}) == 3
    assert [len(group) for group in NUMBER.split(" ")] == [5] * 12


@pytest.mark.parametrize("between", ["", " ", "-", "\n", " - ", "\u2013", "\u2011", "\u00a0"])
def test_it_may_be_written_with_anything_between_the_groups(between: str) -> None:
    assert is_safety_number(NUMBER.replace(" ", between), NUMBER)


def test_one_digit_decides() -> None:
    for place in (0, 30, len(NUMBER) - 1):
        other = str((int(NUMBER[place]) + 1) % 10)
        assert not is_safety_number(NUMBER[:place] + other + NUMBER[place + 1 :], NUMBER)


@given(payload=st.binary(min_size=1, max_size=100))
def test_a_link_of_any_payload_is_one_to_verify_with_or_refused(payload: bytes) -> None:
    try:
        shown = read_verify_link(encode_link(payload), "scanned")
    except UsageError:
        return
    assert verify_link(shown.root, shown.to) == encode_link(payload)


@pytest.mark.parametrize("text", ["", NUMBER[:-1], NUMBER + "0", "x" + NUMBER[1:], "\u0661" + NUMBER[1:]])
def test_what_is_no_safety_number_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(UsageError, match="safety_number: has 60 digits") as refused:
        is_safety_number(text, NUMBER)
    assert refused.value.data == {"param": "safety_number"}
