"""Help in the user's language: what commands say of themselves is translated when a command is loaded.

Rules:

- A command is written in English alone; the catalogue has its paragraphs, a line break being a space, and the help of
  its options. Names of commands, options and places stay as they are.
- In English nothing is touched.
- Help in another language is broken by the columns that its letters take: click counts characters.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from gettext import gettext as _
from typing import Final
from weakref import WeakKeyDictionary

import click

from p2pchat.api import language
from p2pchat.api.text import columns
from p2pchat.cli.output import broken

HELP_OPTION: Final = ("-h", "--help")

_HELP: Final = language.marked("Show this message and exit.")
_FIRST_SENTENCE: Final = re.compile(r".+?\.(?= |$)")
_VERBATIM: Final = "\b"  # click's sign at the beginning of a paragraph that is not filled


@dataclass(frozen=True, slots=True)
class _English:
    """What a command says where nothing is translated."""

    help: str | None = field(repr=False)
    short_help: str | None = field(repr=False)
    options: dict[str, str | None] = field(repr=False)


_ENGLISH: Final = WeakKeyDictionary[click.Command, _English]()


def speak(command: click.Command) -> None:
    """Have ``command`` explain itself in the user's language. What is below it is not touched."""
    if language.is_english() and command not in _ENGLISH:
        return
    options = [param for param in command.params if isinstance(param, click.Option)]
    asking = command.get_help_option(click.Context(command, help_option_names=list(HELP_OPTION)))
    if asking is not None:
        options.append(asking)
    english = _ENGLISH.get(command)
    if english is None:
        texts = {option.name or "": option.help for option in options}
        english = _English(command.help, command.short_help, texts)
        if asking is not None:  # click has translated it already
            texts[asking.name or ""] = _HELP
        _ENGLISH[command] = english
    for option in options:
        words = english.options.get(option.name or "")
        option.help = _(words) if words else words
    if language.is_english():
        command.help, command.short_help, command.context_class = english.help, english.short_help, click.Context
        return
    said = [_(each) for each in paragraphs(english.help or "")]
    command.help = "\n\n".join(said)
    first = _FIRST_SENTENCE.match(said[0]) if said else None
    command.short_help = first.group().removesuffix(".") if first is not None else "".join(said[:1])
    command.context_class = _Speaking


def texts_of(command: click.Command) -> Iterator[str]:
    """Every English text by which ``command`` explains itself, as the catalogue has it."""
    yield from paragraphs(command.help or "")
    yield from (param.help for param in command.params if isinstance(param, click.Option) and param.help)


def paragraphs(written: str) -> list[str]:
    """The paragraphs of a help, each in one line."""
    return [" ".join(each.split()) for each in inspect.cleandoc(written).split("\n\n") if each.strip()]


class Page(click.HelpFormatter):
    """A page of help whose lines are broken by columns."""

    def write_text(self, text: str) -> None:
        """See click."""
        indent = " " * self.current_indent
        pieces: list[str] = []
        for paragraph in text.split("\n\n"):
            first, _, rest = paragraph.partition("\n")
            if first.strip() == _VERBATIM:
                pieces.append("\n".join(indent + line for line in rest.splitlines()))
            else:
                filled = broken(" ".join(paragraph.split()), self.width - self.current_indent)
                pieces.append("\n".join(indent + line for line in filled))
        self.write("\n\n".join(pieces) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """See click."""
        shown = list(rows)
        column = min(max((columns(first) for first, _ in shown), default=0), col_max) + col_spacing
        indent = " " * self.current_indent
        for first, second in shown:
            lines = broken(" ".join(second.split()), max(self.width - column - 2, 10)) if second else [""]
            fits = columns(first) <= column - col_spacing
            head = first + " " * (column - columns(first)) if fits else f"{first}\n{indent}{' ' * column}"
            self.write(f"{indent}{head}{lines[0]}".rstrip(" ") + "\n")
            for line in lines[1:]:
                self.write(f"{indent}{' ' * column}{line}\n")


class _Speaking(click.Context):
    formatter_class = Page
