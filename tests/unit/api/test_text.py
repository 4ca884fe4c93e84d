"""Texts of strangers on the user's terminal."""

from __future__ import annotations

import pytest

from p2pchat.api.text import escape, escape_lines, is_safe, is_unicode


@pytest.mark.parametrize("text", ["Hello", "안녕하세요", "שלום", "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "naïve", "\u200e"])
def test_text_of_any_script_is_shown_as_it_is(text: str) -> None:
    assert is_safe(text)
    assert is_unicode(text)
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x07b", "a\\x07b"),
        ("\x9b31m", "\\x9b31m"),
        ("\x7f\0", "\\x7f\\x00"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_acts_on_the_terminal_is_written_out(text: str, shown: str) -> None:
    assert not is_safe(text)
    assert escape(text) == shown


def test_lines_of_a_text_cannot_pass_for_lines_of_another() -> None:
    assert escape_lines("one\n12:00 Bob: two\x1b[A\r", "    ") == "one\n    12:00 Bob: two\\x1b[A\\r"


def test_tabs_stay_and_a_backslash_is_not_taken_for_one() -> None:
    assert escape_lines("a\tb\\t", "") == "a\tb\\t"


def test_half_a_surrogate_pair_is_no_unicode() -> None:
    assert not is_unicode("a\ud800")
    assert not is_unicode("\udfff")
