"""Printing: objects for programs, lines for people.

Rules:

- :func:`emit` writes UTF-8 JSON exactly as the daemon sent the object, whatever the locale.
- :func:`drawing` is for what no one else wrote any part of.
- :func:`paragraph` breaks at words on a terminal, and nowhere for a program that reads.
- :func:`line` escapes its whole text, :func:`block` all but the line breaks of the text: nothing that another person
  wrote acts on the terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Final

from p2pchat.api.text import escape, escape_lines

_NARROWEST: Final = 20  # columns, below which nothing is broken


def forget_stdout() -> None:
    """What could not be written must not be tried once more by the interpreter when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit(value: object) -> None:
    """One JSON object on one line of stdout, at once."""
    sys.stdout.buffer.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    sys.stdout.buffer.flush()


def line(text: str) -> None:
    """One line of stdout for a person."""
    _write(escape(text))


def paragraph(text: str) -> None:
    """Sentences for a person."""
    shown = escape(text)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    _write(textwrap.fill(shown, width, break_long_words=False, break_on_hyphens=False) if width else shown)


def block(head: str, text: str) -> None:
    """A line that begins with ``head``, and the further lines of ``text`` indented below it."""
    _write(f"{escape(head)} {escape_lines(text, '    ')}")


def table(rows: Sequence[Sequence[str]]) -> None:
    """Rows with their columns aligned."""
    shown = [[escape(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))] if shown else []
    for row in shown:
        _write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def sheet(rows: Sequence[tuple[str, str, Sequence[str]]]) -> None:
    """Rows of a mark, a title and sentences, each of which begins a line; on a terminal they are broken at words."""
    column = max((_columns(title) for _, title, _ in rows), default=0)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for mark, title, sentences in rows:
        head = f"{mark} {title}{' ' * (column - _columns(title))}  "
        indent = " " * _columns(head)
        for number, sentence in enumerate(sentences):
            first, more = (head, indent) if number == 0 else (f"{indent}> ", f"{indent}  ")
            for piece in _broken(escape(sentence), width - _columns(first) if width else 0):
                _write(first + piece)
                first = more


def drawing(text: str) -> None:
    """One line of stdout that is this program's own altogether, escape sequences included."""
    _write(text)


def note(text: str) -> None:
    """One line of stderr."""
    print(escape(text), file=sys.stderr)


def _broken(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` columns, broken at spaces; 0 or too few: in one."""
    lines = [""]
    for word in text.split(" ") if width >= _NARROWEST else [text]:
        line = f"{lines[-1]} {word}" if lines[-1] else word
        if width and lines[-1] and _columns(line) > width:
            lines.append(word)
        else:
            lines[-1] = line
    return lines


def _columns(text: str) -> int:
    """Of a text of ours: Korean letters, and what else is wide, take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "backslashreplace") + b"\n")
    sys.stdout.buffer.flush()
