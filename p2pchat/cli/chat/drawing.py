"""Messages as lines of styled text. Pure.

    -- Sunday, 22 November 2026 --
    12:04 Bob: a text that is longer than
          the line goes on below
    12:05 me: an answer ✓✓

Rules:

- A text never reaches the columns of the times: it cannot pass for another message.
- A state is told by its sign, or by a word, never by a colour alone.
- Signs are ASCII where the locale is not UTF-8, and of unambiguous width where it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from gettext import gettext as _
from typing import Final

from prompt_toolkit.utils import get_cwidth

from p2pchat.api import language
from p2pchat.base.silent import Silent
from p2pchat.cli.chat.rows import SENDING, Row
from p2pchat.cli.chat.wrapping import shortened, wrapped
from p2pchat.cli.reading import not_arrived

Fragment = tuple[str, str]
"""A style and a text."""

Line = list[Fragment]

INDENT: Final = 6
"""Columns of the time, which belong to no text."""

_NAME_COLUMNS: Final = 16


@dataclass(frozen=True, repr=False)
class Signs(Silent):
    """The signs of the states."""

    waiting: str
    sent: str
    delivered: str
    failed: str


UNICODE: Final = Signs("\u25e6", "\u2713", "\u2713\u2713", "\u2717")
ASCII: Final = Signs(".", "+", "++", "x")


@dataclass(frozen=True)
class Look:
    """How the terminal is drawn on: ``columns`` wide, in ``charset``; ``name``: the contact's."""

    columns: int
    name: str = field(repr=False)
    signs: Signs = UNICODE
    charset: str = field(default="utf-8", repr=False)


def day_of(row: Row) -> str:
    """The day of a message in the user's zone, in English; empty where the writer's clock is beyond all calendars."""
    return _clock(row.created_ms, "%A, %-d %B %Y")


def draw(row: Row, look: Look, *, day: str = "", first_new: bool = False, hit: bool = False) -> list[Line]:
    """A message, below the name of its ``day`` where it is the first of it, below how many are missing before it, and
    below a mark where it is the ``first_new`` one; ``hit``: it is what was searched for."""
    above: list[Line] = []
    if day:
        above.append([("class:day", shortened(f"-- {_in_words(day)} --", look.columns))])
    if row.missing:
        name = shortened(look.name, _NAME_COLUMNS, look.charset)
        said = f"-- {not_arrived(row.missing, name)} --"
        if get_cwidth(said) > look.columns:
            said = shortened(f"-- {not_arrived(row.missing)} --", look.columns)
        above.append([("class:day", said)])
    if first_new:
        above.append([("class:new", _("-- new --"))])
    lines = _body(row, look)
    if hit:
        lines = [[("class:hit", "".join(part for _style, part in line))] for line in lines]
    return above + lines


def words(paragraphs: Sequence[str], look: Look) -> list[Line]:
    """What the program itself has to say at some length."""
    return [[("class:note", line)] for each in paragraphs for line in wrapped(each, look.columns, charset=look.charset)]


def sign_of(row: Row, signs: Signs) -> Fragment:
    """How far a message of the user's own has come; nothing for one that came in."""
    if row.incoming:
        return ("", "")
    match row.state:
        case "queued":
            return ("class:tick", signs.waiting)
        case state if state == SENDING:
            return ("class:tick", _("{sign} sending").format(sign=signs.waiting))
        case "sent":
            return ("class:tick", signs.sent)
        case "held":
            return ("class:tick", _("{sign} held").format(sign=signs.sent))
        case "delivered":
            return ("class:tick", signs.delivered)
        case "read":
            return ("class:read", _("{sign} read").format(sign=signs.delivered))
        case other:
            why = f": {language.said(row.reason)}" if row.reason else ""
            return ("class:failed", f"{signs.failed} {_ended(other)}{why}")


def _body(row: Row, look: Look) -> list[Line]:
    who = shortened(look.name, min(_NAME_COLUMNS, look.columns // 3), look.charset) if row.incoming else _("me")
    head: Line = [("class:time", f"{_clock(row.created_ms, '%H:%M') or '--:--'} ")]
    head.append(("class:them" if row.incoming else "class:me", f"{who}: "))
    room = look.columns - INDENT
    taken = sum(get_cwidth(part) for _style, part in head) - INDENT
    if row.incoming and row.reason and not row.text:
        lines: list[Line] = [
            [("class:note", line)] for line in wrapped(f"[{language.said(row.reason)}]", room, used=taken)
        ]
    else:
        lines = [[("", line)] for line in wrapped(row.text, room, used=taken, charset=look.charset)]
    style, sign = sign_of(row, look.signs)
    if sign:
        used = sum(get_cwidth(part) for _style, part in lines[-1]) + (taken if len(lines) == 1 else 0)
        signed = wrapped(sign, room, charset=look.charset)
        if used + 1 + get_cwidth(signed[0]) <= room and len(signed) == 1:
            lines[-1] = [*lines[-1], ("", " "), (style, sign)]
        else:
            lines += [[(style, line)] for line in signed]
    return [[*head, *lines[0]], *([("", " " * INDENT), *line] for line in lines[1:])]


def _ended(state: str) -> str:
    """The word for a state after which nothing comes."""
    match state:
        case "failed":
            return _("failed")
        case "cancelled":
            return _("cancelled")
        case "expired":
            return _("expired")
        case _:
            return state


def _in_words(day: str) -> str:
    """What :func:`day_of` has said, in the user's language."""
    weekday, _comma, date = day.partition(", ")
    parts = date.split(" ")
    if language.is_english() or len(parts) != 3:
        return day
    number, month, year = parts
    said = _("{weekday}, {day} {month} {year}")
    return said.format(weekday=_(weekday), day=number, month=_(month), year=year)


def _clock(unix_ms: int, pattern: str) -> str:
    try:
        return time.strftime(pattern, time.localtime(unix_ms / 1000))
    except (OverflowError, ValueError, OSError):  # the writer's clock, which can say anything
        return ""
