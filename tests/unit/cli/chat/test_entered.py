"""What a line that was entered means."""

from __future__ import annotations

import pytest

from p2pchat.api.text import TEXT_BYTES
from p2pchat.cli.chat import entered
from p2pchat.cli.chat.drawing import ASCII


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("Hello", "Hello"),
        ("  spaces stay ", "  spaces stay "),
        ("two\nlines\n", "two\nlines\n"),
        ("//quit", "/quit"),
        ("//", "/"),
        (" /quit", " /quit"),
        ("x" * TEXT_BYTES, "x" * TEXT_BYTES),
        ("\x1b[2J\x00", "\x1b[2J\x00"),
    ],
)
def test_a_text_is_sent_as_it_was_typed(typed: str, sent: str) -> None:
    meant = entered.read(typed)
    assert isinstance(meant, entered.Text)
    assert meant.text == sent


@pytest.mark.parametrize("typed", ["", " ", "\n\t "])
def test_nothing_is_nothing(typed: str) -> None:
    assert entered.read(typed) == entered.Nothing()


@pytest.mark.parametrize(("typed", "words"), [("/search", ""), ("/search a  b ", "a  b"), (" /search".strip(), "")])
def test_a_search_has_words_or_asks_for_them(typed: str, words: str) -> None:
    meant = entered.read(typed)
    assert isinstance(meant, entered.Search)
    assert meant.words == words


def test_the_other_commands() -> None:
    assert entered.read("/help") == entered.Help()
    assert entered.read("/quit ") == entered.Quit()


@pytest.mark.parametrize("typed", ["/", "/etc/passwd", "/quit now", "/help me", "/QUIT", "/search\x00", "/quit\nnot"])
def test_a_mistake_is_not_sent(typed: str) -> None:
    assert "no such command" in sentence(typed)


@pytest.mark.parametrize("typed", ["x" * (TEXT_BYTES + 1), "가" * 21_846, "//" + "x" * TEXT_BYTES])
def test_a_text_that_is_too_long_is_told_its_size(typed: str) -> None:
    assert "65,536 at most" in sentence(typed)


def test_what_is_no_text_is_not_sent() -> None:
    assert "UTF-8" in sentence("caf\udce9")


def test_help_fits_a_terminal_without_utf8() -> None:
    assert all(line.isascii() for line in entered.help_on(ASCII))


def sentence(typed: str) -> str:
    meant = entered.read(typed)
    assert isinstance(meant, entered.Mistake)
    return meant.sentence
