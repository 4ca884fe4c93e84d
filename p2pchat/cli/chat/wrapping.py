"""A text as lines of so many columns, for a terminal that others must not be able to act on. Pure.

Rules:

- What ``api.text`` calls unsafe is escaped; no line is wider than asked for, measured as the drawing library does.
- A character has at most ``COMBINING`` marks upon it: more of them would be painted over the lines around.
- What makes one sign of several emoji, or asks for their coloured form, is left out, and flags are their two letters:
  terminals disagree about the width of the result, and whatever stands after it on the line would go astray.
- What is invisible is left out, but for two characters that spelling needs.
- Where the terminal's encoding lacks a character, its escape is shown.
- Lines break at spaces, and within a word that is longer than a line. A text is cut after ``LINES``: 64 KiB of line
  feeds would push all else out of reach.
"""

from __future__ import annotations

from gettext import gettext as _
from typing import Final
from unicodedata import category

from prompt_toolkit.utils import get_cwidth

from p2pchat.api.text import escape, escape_lines

COMBINING: Final = 8
LINES: Final = 200
TAB_COLUMNS: Final = 4
NARROWEST: Final = 4
"""Columns that a line has at least: one character of the widest kind, and some room."""

_VARIANTS: Final = "\ufe0e\ufe0f"
_EMOJI_PARTS: Final = "\u200d" + "".join(map(chr, range(0x1F3FB, 0x1F400)))
"""The joiner and the five skin tones: they make one sign of two, after an emoji."""

_SPELLING: Final = "\u200c\u200d"
"""What has no columns and is no mark, but belongs to how words of some languages are written."""

_FLAG_LETTERS: Final = {0x1F1E6 + index: ord("A") + index for index in range(26)}


def wrapped(text: str, width: int, *, used: int = 0, charset: str = "utf-8") -> list[str]:
    """The lines of ``text``, never none.

    Args:
        width: columns of a line.
        used: columns of the first line that are taken already.
        charset: the terminal's encoding.
    """
    width = max(width, NARROWEST)
    lines: list[str] = []
    source = escape_lines(text, "").split("\n")
    for number, line in enumerate(source):
        room = max(width - used, 0) if number == 0 else width
        lines.extend(_broken(visible(line, charset), room, width))
        if len(lines) > LINES:
            return [*lines[:LINES], *_broken(_("[cut here; p2pchat history shows all of it]"), width, width)]
    return lines


def visible(line: str, charset: str = "utf-8") -> str:
    """One line, which is escaped but for tabs, as characters whose columns can be relied on."""
    line = line.expandtabs(TAB_COLUMNS)
    if line.isascii():
        return line
    return _tamed(line).encode(charset, "backslashreplace").decode(charset)


def shortened(text: str, width: int, charset: str = "utf-8") -> str:
    """``text`` on one line of at most ``width`` columns; one that was cut ends in a tilde."""
    line = visible(escape(text), charset)
    if get_cwidth(line) <= width:
        return line
    kept, columns = "", 0
    for character in line:
        columns += get_cwidth(character)
        if columns >= width:
            break
        kept += character
    return f"{kept}~" if width > 0 else ""


def _tamed(line: str) -> str:
    kept: list[str] = []
    marks, wide = 0, False
    for character in line.translate(_FLAG_LETTERS):
        if character in _VARIANTS or (wide and character in _EMOJI_PARTS):
            continue
        columns = get_cwidth(character)
        if columns:
            if marks > COMBINING:
                kept.append(f"[+{marks - COMBINING}]")
            marks, wide = 0, columns > 1
            kept.append(character)
        elif category(character) != "Cf" or character in _SPELLING:
            marks += 1
            if marks <= COMBINING:
                kept.append(character)
    if marks > COMBINING:
        kept.append(f"[+{marks - COMBINING}]")
    return "".join(kept)


def _broken(line: str, room: int, width: int) -> list[str]:
    """``line`` in pieces, the first of up to ``room`` columns, the others of ``width``. The one after ``LINES`` may be
    wider: it is not shown."""
    pieces: list[str] = []
    start = columns = 0
    after_space = 0
    for index, character in enumerate(line):
        size = get_cwidth(character)
        if columns + size > room:
            if len(pieces) == LINES:
                break
            cut = index if character == " " or after_space <= start else after_space
            pieces.append(line[start:cut])
            start, room = cut, width
            columns = sum(map(get_cwidth, line[start:index]))
            if character == " ":  # the line break stands for it
                start = after_space = index + 1
                continue
        columns += size
        if character == " ":
            after_space = index + 1
    pieces.append(line[start:])
    return pieces
