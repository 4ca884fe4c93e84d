"""A line that is typed into a shell: its words, and names that go on behind one."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.cli.quoting import Word, read_line

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)


@pytest.mark.parametrize(
    ("line", "words", "value", "quote"),
    [
        ("", [], "", ""),
        ("p2pchat send Al", ["p2pchat", "send"], "Al", ""),
        ("p2pchat send ", ["p2pchat", "send"], "", ""),
        ("a 'b c' \"d e", ["a", "b c"], "d e", '"'),
        ("a b\\ c", ["a"], "b c", ""),
        ("a 'b\\", ["a"], "b\\", "'"),
        ('a "b\\$\\n', ["a"], "b$\\n", '"'),
        ("a 'it'\\''s ", ["a"], "it's ", "'"),
        ("a --x='y z", ["a"], "--x=y z", "'"),
        ("김 영", ["김"], "영", ""),
    ],
)
def test_words_are_told_apart_and_freed_of_quotes(line: str, words: list[str], value: str, quote: str) -> None:
    found, current = read_line(line)
    assert (found, current.value, current.quote) == (words, value, quote)


@pytest.mark.parametrize("line", ["a $b", 'a "$b', "a `b", "a b\\", 'a "$(b', "a ${"])
def test_a_word_in_which_something_would_be_expanded_has_no_value(line: str) -> None:
    assert read_line(line)[1].value is None


@pytest.mark.parametrize("line", ["a '$b", "a \\$b", 'a "\\$b', "a '`"])
def test_a_word_in_which_nothing_would_be_has_one(line: str) -> None:
    assert read_line(line)[1].value in ("$b", "`")


@given(TEXTS, TEXTS)
def test_what_goes_on_without_a_quote_stands_for_itself(begun: str, more: str) -> None:
    line = "p2pchat send " + Word().quoted(begun)
    current = read_line(line)[1]
    assert current.value == begun
    assert read_line(line + current.quoted(more))[1].value == begun + more


@given(st.sampled_from(["'", '"']), TEXTS, TEXTS)
def test_what_goes_on_in_a_quote_is_closed_as_readline_does(quote: str, begun: str, more: str) -> None:
    opened = f"p2pchat send {quote}"
    start = opened + begun.replace(quote, "").replace("\\", "").replace("$", "").replace("`", "").replace("!", "")
    current = read_line(start)[1]
    assert current.value is not None
    assert current.quote == quote
    rest = current.quoted(more)
    line = start[:-1] + rest if start == opened and rest.startswith(quote) else start + rest
    if not line.endswith(quote) or (line == start and start == opened):
        line += quote
    assert shlex.split(line) == ["p2pchat", "send", current.value + more]


@given(TEXTS)
def test_any_line_is_read(line: str) -> None:
    words, current = read_line(line)
    assert len(words) <= len(line)
    assert current.value is None or len(current.value) <= len(line)


def test_no_former_command_is_called_back() -> None:
    assert Word(quote='"').quoted("a!b") == "a\"'!'\"b"
    assert Word(quote="'").quoted("a!b") == "a!b"
    assert Word().quoted("a!b") == "a\\!b"
