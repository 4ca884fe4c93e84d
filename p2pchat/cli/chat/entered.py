"""What a line that was entered means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from gettext import gettext as _
from typing import Final

from p2pchat.api.text import TEXT_BYTES, is_unicode
from p2pchat.base.silent import Silent
from p2pchat.cli.chat.drawing import Signs

WORDS: Final = 256
"""Longest search, in characters."""


def help_on(signs: Signs) -> list[str]:
    """What ``/help`` shows, a paragraph each."""
    paging = _(
        "PageUp and PageDown move through the conversation, at the edge of the input Up and Down too; Esc ends that."
    )
    legend = _(
        "{waiting} waits  {sent} sent  {sent} held in a mailbox  "
        "{delivered} arrived  {delivered} read  {failed} will not arrive, and why"
    )
    return [
        _("Enter sends; Alt-Enter or Ctrl-J breaks the line, and so does a pasted line break."),
        paging,
        _("Ctrl-F, or /search WORDS, finds: Enter or Up an older message, Down a newer one, Esc ends the search."),
        _("/help shows this. /quit, Ctrl-C, or Ctrl-D in an empty input, ends. //x sends /x."),
        legend.format(waiting=signs.waiting, sent=signs.sent, delivered=signs.delivered, failed=signs.failed),
    ]


@dataclass(frozen=True, repr=False)
class Text(Silent):
    """To be sent."""

    text: str


@dataclass(frozen=True, repr=False)
class Search(Silent):
    """``/search``; without ``words`` they are asked for."""

    words: str


@dataclass(frozen=True)
class Help:
    """``/help``."""


@dataclass(frozen=True)
class Quit:
    """``/quit``."""


@dataclass(frozen=True)
class Nothing:
    """Blank."""


@dataclass(frozen=True, repr=False)
class Mistake(Silent):
    """It stays in the input; ``sentence`` says why."""

    sentence: str


def read(entered: str) -> Text | Search | Help | Quit | Nothing | Mistake:
    """What was meant."""
    if not entered.strip():
        return Nothing()
    if not entered.startswith("/"):
        return _text(entered)
    if entered.startswith("//"):
        return _text(entered[1:])
    command, _blank, rest = entered.strip().partition(" ")
    match command:
        case "/search":
            return Search(rest.strip())
        case "/help" if not rest:
            return Help()
        case "/quit" if not rest:
            return Quit()
        case _:
            return Mistake(_("There is no such command; /help shows them, and // begins a text with a slash."))


def _text(text: str) -> Text | Mistake:
    if not is_unicode(text):
        return Mistake(_("This holds bytes that are no UTF-8, and was not sent."))
    size = len(text.encode())
    if size > TEXT_BYTES:
        said = _("This is {size} bytes long and was not sent; a message has {most} at most.")
        return Mistake(said.format(size=f"{size:,}", most=f"{TEXT_BYTES:,}"))
    return Text(text)
