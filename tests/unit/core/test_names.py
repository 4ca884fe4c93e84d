"""Which names a contact may have."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.core.names import checked_name, contact_name, means_self, near_names


@pytest.mark.parametrize("name", ["self", " SELF ", "Self", "note to self", "Note To Self"])
def test_the_words_for_oneself_are_no_names(name: str) -> None:
    assert means_self(name)
    with pytest.raises(UsageError) as caught:
        contact_name(name)
    assert (caught.value.error_name, caught.value.data) == ("INVALID_PARAMS", {"param": "name"})
    assert checked_name(name) == name.strip()  # one's own may be so


@pytest.mark.parametrize("name", ["selfish", "my self", "self.", "Notes to self", "self (2)"])
def test_names_that_hold_such_a_word_are(name: str) -> None:
    assert not means_self(name)
    assert contact_name(f" {name} ") == name


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("bbo", ["Bob"]),
        ("ALISE KIM", ["Alice Kim"]),
        ("ali", ["Alice Kim", "Alina"]),
        ("kim", ["Alice Kim"]),
        (" ali ", ["Alice Kim", "Alina"]),
        ("김영이", ["김영희"]),
        ("김", ["김영희"]),
        ("xyz", []),
        ("", []),
    ],
)
def test_names_that_may_have_been_meant(typed: str, near: list[str]) -> None:
    assert near_names(typed, ["Bob", "Alice Kim", "Alina", "김영희"]) == near


def test_in_a_large_book_few_names_are_compared_and_three_are_told() -> None:
    names = [f"Person {n}" for n in range(5000)]
    assert near_names("person", names) == ["Person 0", "Person 1", "Person 2"]
    assert near_names("Bbo", [*names, "Bob"]) == ["Bob"]
