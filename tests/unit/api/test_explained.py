"""The sentences of an explanation: each has its words, and lengths of time are said as people say them."""

from __future__ import annotations

import pytest

from p2pchat.api.explained import LENGTHS, SAID, in_words

FACTS: dict[str, int | str] = {
    "name": "Bob",
    "reason": "the contact is blocked",
    "why": "It refused.",
    "since": "2026-11-23 14:05 UTC",
    "advice": "use that one",
    "mailboxes": 2,
    "ago_ms": 60_000,
    "until_ms": 60_000,
    "left_ms": 60_000,
}


@pytest.mark.parametrize("code", SAID)
def test_every_sentence_is_said_with_its_facts(code: str) -> None:
    said = in_words(code, FACTS)
    assert "{" not in said
    assert in_words(code, FACTS, lambda english: f"<{english}>").startswith("<")


@pytest.mark.parametrize(
    ("ms", "length"),
    [
        (0, "a moment"),
        (1_899, "a moment"),
        (1_900, "2 seconds"),
        (113_999, "114 seconds"),
        (114_000, "2 minutes"),
        (6_840_000, "2 hours"),
        (36 * 3_600_000, "36 hours"),
        (164_160_000, "2 days"),
        (30 * 86_400_000 - 1_000, "30 days"),
    ],
)
def test_a_length_of_time(ms: int, length: str) -> None:
    assert (
        in_words("away.connection", {"ago_ms": ms, "why": "x"}) == f"The last try, {length} ago, was the connection: x"
    )
    next_try = "now" if ms == 0 else f"in {length}"
    assert in_words("away.next", {"until_ms": ms}) == f"The next try is {next_try}."


def test_names_are_never_translated() -> None:
    assert in_words("read", {"name": "now"}, lambda english: f"<{english}>" if english in LENGTHS else english) == (
        "now has read it."
    )


@pytest.mark.parametrize(("code", "facts"), [("of.tomorrow", FACTS), ("read", {"who": "Bob"})])
def test_what_is_not_known_is_told(code: str, facts: dict[str, int | str]) -> None:
    with pytest.raises(KeyError):
        in_words(code, facts)
