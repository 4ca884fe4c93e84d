"""A line that is typed into a shell: its words, and names that go on behind one."""

from __future__ import annotations

import random
import subprocess

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


def closed(line: str, rest: str) -> str:
    """``line`` with ``rest`` put behind it by readline, which closes the quote: complete.c, insert_match() and
    append_to_match()."""
    quote = read_line(line)[1].quote
    if not quote:
        return line + rest
    fresh = line.endswith(quote)  # nothing stands behind the quote yet
    whole = line[:-1] + rest if fresh and rest.startswith(quote) else line + rest
    return whole if rest and whole.endswith(quote) else whole + quote


SPECIAL = "ab 김'\"\\$`!;&|<>()*?[]{}~#=:%"


def test_a_shell_takes_what_was_completed_for_the_name_whatever_it_is() -> None:
    entropy = random.Random(0)
    names: list[str] = []
    lines: list[str] = []
    for quote in ("", "'", '"') * 200:
        begun, more = ("".join(entropy.choices(SPECIAL, k=entropy.randrange(1, 7))) for _ in range(2))
        line = "printf '%s\\0' " + (quote or Word().quoted(begun))
        lines.append(closed(line, read_line(line)[1].quoted(more)))
        names.append(more if quote else begun + more)
    # nothing is found by this PATH, if something were run after all
    done = subprocess.run(
        ["/bin/sh", "-c", "\n".join(lines)], capture_output=True, check=True, env={"PATH": "/nowhere"}
    )
    assert done.stderr == b""
    assert done.stdout.decode().split("\0")[:-1] == names


@given(TEXTS)
def test_any_line_is_read(line: str) -> None:
    words, current = read_line(line)
    assert len(words) <= len(line)
    assert current.value is None or len(current.value) <= len(line)


def test_no_former_command_is_called_back() -> None:
    assert Word(quote='"').quoted("a!b") == "a\"'!'\"b"
    assert Word(quote="'").quoted("a!b") == "a!b"
    assert Word().quoted("a!b") == "a\\!b"
