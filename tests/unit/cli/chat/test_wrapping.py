"""Texts as lines of columns: nothing is wider than asked for, nothing acts on the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from p2pchat.api.text import is_safe
from p2pchat.cli.chat.wrapping import COMBINING, LINES, NARROWEST, shortened, wrapped

HOSTILE = st.text(
    st.one_of(
        st.sampled_from("ab \n\t\r\x00\x1b\x9b\u202e\u2066\u200b\u200d\ufe0f\u0301\U0001f3fb\U0001f1f0\U0001f468가ㄱ"),
        st.characters(),
    ),
    max_size=200,
)


@pytest.mark.parametrize(
    ("text", "width", "used", "lines"),
    [
        ("short", 10, 0, ["short"]),
        ("", 10, 0, [""]),
        ("two words", 5, 0, ["two ", "words"]),
        ("exact fits", 5, 0, ["exact", "fits"]),
        ("x  y", 4, 0, ["x  y"]),
        ("onelongword", 4, 0, ["onel", "ongw", "ord"]),
        ("a onelongword", 6, 0, ["a ", "onelon", "gword"]),
        ("hello world", 11, 6, ["hello", "world"]),
        ("hello", 5, 9, ["", "hello"]),
        ("one\n\ntwo\n", 5, 0, ["one", "", "two", ""]),
        ("안녕하세요", 5, 0, ["안녕", "하세", "요"]),
        ("a\tb", 9, 0, ["a   b"]),
        ("narrow", 1, 0, ["narr", "ow"]),
    ],
)
def test_lines_break_where_a_reader_expects_it(text: str, width: int, used: int, lines: list[str]) -> None:
    assert wrapped(text, width, used=used) == lines


@settings(deadline=None)
@given(HOSTILE, st.integers(NARROWEST, 50), st.integers(0, 60))
def test_no_text_is_wider_than_the_room_or_acts_on_the_terminal(text: str, width: int, used: int) -> None:
    lines = wrapped(text, width, used=used)
    assert lines
    assert all(is_safe(line) and get_cwidth(line) <= width for line in lines)
    assert get_cwidth(lines[0]) <= max(width - used, 0)


@settings(deadline=None)
@given(st.text(st.sampled_from("ab 가"), min_size=1, max_size=100), st.integers(NARROWEST, 20))
def test_no_character_is_lost_but_spaces_at_a_break(text: str, width: int) -> None:
    assert "".join(wrapped(text, width)).replace(" ", "") == text.replace(" ", "")


def test_a_flood_of_marks_is_counted_not_drawn() -> None:
    assert wrapped("a" + "\u0301" * 5000 + "b", 40) == ["a" + "\u0301" * COMBINING + f"[+{5000 - COMBINING}]b"]
    assert wrapped("\u0301" * 20, 40) == ["\u0301" * COMBINING + "[+12]"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467!", "\U0001f468\U0001f469\U0001f467!"),
        ("\u2764\ufe0f!", "\u2764!"),
        ("\U0001f1f0\U0001f1f7!", "KR!"),
        ("\U0001f44d\U0001f3fd!", "\U0001f44d!"),
        ("क्\u200dष", "क्\u200dष"),
        ("a\u200bb\ufeff\u2060\U000e0041c\u200e", "abc"),
    ],
    ids=["joined", "coloured", "flag", "skin tone", "a joiner that is spelling", "invisible"],
)
def test_what_terminals_measure_differently_is_taken_apart(text: str, shown: str) -> None:
    assert wrapped(text, 40) == [shown]


@pytest.mark.parametrize("text", ["\n" * 65_536, "x" * 65_536, "가 " * 16_000])
def test_a_text_cannot_push_all_else_away(text: str) -> None:
    lines = wrapped(text, 20)
    assert len(lines) <= LINES + 4
    assert lines[LINES] == "[cut here; p2pchat "


def test_what_the_terminal_has_no_sign_for_is_escaped() -> None:
    assert wrapped("é한", 40, charset="ascii") == ["\\xe9\\ud55c"]
    assert wrapped("é한", 40, charset="euc_kr") == ["\\xe9한"]


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("Bob", 3, "Bob"),
        ("Bobby", 3, "Bo~"),
        ("Bobby", 1, "~"),
        ("Bobby", 0, ""),
        ("김민지", 5, "김민~"),
        ("a\nb", 9, "a\\nb"),
    ],
)
def test_a_name_is_cut_to_its_room(text: str, width: int, short: str) -> None:
    assert shortened(text, width) == short
