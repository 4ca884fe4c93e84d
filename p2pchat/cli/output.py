"""Printing: objects for programs, lines for people.

Rules:

- :func:`emit` writes UTF-8 JSON exactly as the daemon sent the object, whatever the locale.
- :func:`drawing` is for what no one else wrote any part of.
- :func:`paragraph` breaks at words on a terminal, and nowhere for a program that reads.
- :func:`line` escapes its whole text, :func:`block` all but the line breaks of the text: nothing that another person
  wrote acts on the terminal.
- Heads of tables, colours, and columns that are cut so that a row fits are for a terminal: a program that reads gets
  the rows, and the whole of them.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import textwrap
from collections.abc import Sequence
from typing import Final

from p2pchat.api.text import columns, escape, escape_lines
from p2pchat.cli.colour import Colour, Coloured, painted, shown_on

Cell = str | Coloured

_NARROWEST: Final = 20  # columns, below which nothing is broken
_LEAST: Final = 8  # columns that a cell keeps, however narrow the terminal is
_GAP: Final = "  "


def forget_stdout() -> None:
    """What could not be written must not be tried once more by the interpreter when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stdout_pipe() -> int | None:
    """The descriptor of stdout where another program may read it; None for a terminal, a file, or what is closed."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError):  # closed from the start; no file of the system's
        return None
    mode = os.fstat(descriptor).st_mode
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def emit(value: object) -> None:
    """One JSON object on one line of stdout, at once."""
    sys.stdout.buffer.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    sys.stdout.buffer.flush()


def line(text: str, colour: Colour | None = None) -> None:
    """One line of stdout for a person."""
    _write(painted(escape(text), colour if shown_on(sys.stdout) else None))


def cells(row: Sequence[Cell]) -> None:
    """One row of a table on a line of its own."""
    table([[cell for cell in row if cell != ""]])


def paragraph(text: str) -> None:
    """Sentences for a person."""
    shown = escape(text)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    _write(textwrap.fill(shown, width, break_long_words=False, break_on_hyphens=False) if width else shown)


def block(head: str, text: str) -> None:
    """A line that begins with ``head``, and the further lines of ``text`` indented below it."""
    _write(f"{escape(head)} {escape_lines(text, '    ')}")


def table(rows: Sequence[Sequence[Cell]], head: Sequence[str] = (), *, cut: Sequence[int] = ()) -> None:
    """Rows with their columns aligned; on a terminal below ``head``, with the columns ``cut`` as narrow as need be."""
    if not rows:
        return
    on_terminal = sys.stdout.isatty()
    heads = [[Coloured(each, Colour.HEAD) for each in head]] if head and on_terminal else []
    shown = [[_escaped(cell) for cell in row] for row in (*heads, *rows)]
    widths = [max(map(columns, column)) for column in zip(*([text for text, _ in row] for row in shown), strict=True)]
    if on_terminal:
        widths = _fitted(widths, cut, shutil.get_terminal_size().columns)
    with_colours = shown_on(sys.stdout)
    for row in shown:
        pieces, blank = "", ""
        for (text, colour), width in zip(row, widths, strict=True):
            kept = _cut(text, width)
            if kept:
                pieces += blank + painted(kept, colour if with_colours else None)
                blank = ""
            blank += " " * (width - columns(kept)) + _GAP
        _write(pieces)


def sheet(rows: Sequence[tuple[Cell, str, Sequence[str]]]) -> None:
    """Rows of a mark, a title and sentences, each of which begins a line; on a terminal they are broken at words."""
    column = max((columns(title) for _, title, _ in rows), default=0)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for mark, title, sentences in rows:
        sign, colour = _escaped(mark)
        rest = f" {title}{' ' * (column - columns(title))}  "
        indent = " " * columns(sign + rest)
        head = painted(sign, colour if shown_on(sys.stdout) else None) + rest
        for number, sentence in enumerate(sentences):
            first, more = (head, indent) if number == 0 else (f"{indent}> ", f"{indent}  ")
            taken = len(indent) if number == 0 else columns(first)
            for piece in broken(escape(sentence), width - taken if width else 0):
                _write(first + piece)
                first = more


def drawing(text: str) -> None:
    """One line of stdout that is this program's own altogether, escape sequences included."""
    _write(text)


def note(text: str) -> None:
    """One line of stderr."""
    print(escape(text), file=sys.stderr)


def failure(name: str, sentence: str) -> None:
    """The line of stderr that a command ends with: the error's name, and what is to be said."""
    shown = painted(f"{name}:", Colour.BAD if shown_on(sys.stderr) else None)
    print(f"{shown} {escape(sentence)}", file=sys.stderr)


def broken(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` columns, broken at spaces; 0 or too few: in one."""
    lines = [""]
    for word in text.split(" ") if width >= _NARROWEST else [text]:
        line = f"{lines[-1]} {word}" if lines[-1] else word
        if width and lines[-1] and columns(line) > width:
            lines.append(word)
        else:
            lines[-1] = line
    return lines


def _escaped(cell: Cell) -> tuple[str, Colour | None]:
    return (escape(cell.text), cell.colour) if isinstance(cell, Coloured) else (escape(cell), None)


def _fitted(widths: list[int], cut: Sequence[int], width: int) -> list[int]:
    """Widths of the columns, the widest of ``cut`` narrowed first, until a row fits or there is nothing to take."""
    fitted = list(widths)
    over = sum(fitted) + len(_GAP) * (len(fitted) - 1) - width
    while over > 0 and cut:
        widest = max(cut, key=lambda column: fitted[column])
        if fitted[widest] <= _LEAST:
            break
        fitted[widest] -= 1
        over -= 1
    return fitted


def _cut(text: str, width: int) -> str:
    """``text``, or its beginning and a sign that there is more, in at most ``width`` columns."""
    if columns(text) <= width:
        return text
    more = "…" if (sys.stdout.encoding or "ascii").lower().startswith("utf") else "~"
    while columns(text) >= width:
        text = text[:-1]
    return text + more


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "backslashreplace") + b"\n")
    sys.stdout.buffer.flush()
