"""Which lines of a conversation are on the screen. Pure.

Rules:

- The screen follows the end, until somebody scrolls up; then its first line stays where it is, whatever comes in above
  or below, and whoever scrolls down to the end follows it again.
- Only what is on the screen is drawn, and kept drawn until it changes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from p2pchat.cli.chat.drawing import Line, Look, day_of, draw
from p2pchat.cli.chat.rows import LAST, Row

_DRAWN: Final = 500
"""Messages that are kept as they were drawn."""

_BELOW: Final = LAST * 2
"""A position above those of all rows."""

_Place = tuple[int, int]
"""The index of an entry and of a line of it."""


class Screen:
    """See the rules above. ``new_from``: the position below the mark for new messages; ``hit``: that of what was found.
    ``below``: lines of the program's own, after everything."""

    def __init__(self) -> None:
        self.height = 1
        self.new_from: int | None = None
        self.hit: int | None = None
        self.below: Sequence[Line] = ()
        self._rows: Sequence[Row] = ()
        self.look = Look(0, "")
        self._at_end = True
        self._top: tuple[int, int] | None = None
        self._drawn: dict[str, tuple[object, list[Line]]] = {}

    @property
    def follows(self) -> bool:
        """Whether the newest line is on the screen, and will be."""
        return self._top is None

    def show(self, rows: Sequence[Row], look: Look, height: int, *, at_end: bool = True) -> list[Line]:
        """The lines that fit on the screen, as many as there are; to be called after every change. ``at_end``: nothing
        comes after these rows, so that their end can be followed."""
        self._rows, self.look, self._at_end, self.height = rows, look, at_end, max(height, 1)
        place = self._first()
        lines: list[Line] = []
        for index in range(place[0], self._count()):
            lines += self._entry(index)[place[1] if index == place[0] else 0 :]
            if len(lines) >= self.height:
                break
        return lines[: self.height]

    def scroll(self, lines: int) -> None:
        """So many lines toward the end, or toward the start if negative."""
        self._go(self._moved(self._first(), lines))

    def follow(self) -> None:
        """To the end."""
        self._top = None

    def read_below(self) -> None:
        """To the first line of ``below``."""
        self._top = (_BELOW, 0)

    def look_at(self, position: int) -> None:
        """The message at ``position`` a third of the screen from above."""
        self._go(self._moved((self._index(position), 0), -(self.height // 3)))

    def first_row(self) -> int:
        """The index of the first row on the screen."""
        return self._first()[0]

    def last_row(self) -> int:
        """The index of the last row on the screen, or one past all rows."""
        return self._moved(self._first(), self.height - 1)[0]

    def _first(self) -> _Place:
        end = self._moved((self._count(), 0), -self.height)
        if self._top is None:
            return end
        position, line = self._top
        index = self._index(position)
        if index >= self._count():
            return end
        return min((index, min(line, len(self._entry(index)) - 1)), end)

    def _go(self, place: _Place) -> None:
        end = self._moved((self._count(), 0), -self.height)
        if place >= end and self._at_end:
            self._top = None
        else:
            index, line = min(place, end)
            self._top = (self._rows[index].position if index < len(self._rows) else _BELOW, line)

    def _moved(self, place: _Place, lines: int) -> _Place:
        """``place`` moved by so many lines, as far as there are any."""
        index, line = place
        line += lines
        while line < 0 and index > 0:
            index -= 1
            line += len(self._entry(index))
        while index < self._count() and line >= len(self._entry(index)):
            line -= len(self._entry(index))
            index += 1
        return (index, max(line, 0)) if index < self._count() else (self._count(), 0)

    def _index(self, position: int) -> int:
        return bisect_left(self._rows, position, key=lambda row: row.position)

    def _count(self) -> int:
        return len(self._rows) + (1 if self.below else 0)

    def _entry(self, index: int) -> Sequence[Line]:
        if index == len(self._rows):
            return self.below
        row = self._rows[index]
        day = day_of(row)
        if index and day_of(self._rows[index - 1]) == day:
            day = ""
        first_new, hit = row.position == self.new_from, row.position == self.hit
        key = (row, self.look, day, first_new, hit)
        kept = self._drawn.get(row.id)
        if kept is not None and kept[0] == key:
            return kept[1]
        lines = draw(row, self.look, day=day, first_new=first_new, hit=hit)
        if len(self._drawn) >= _DRAWN:
            self._drawn.clear()
        self._drawn[row.id] = (key, lines)
        return lines
