"""The stretch of a conversation that is loaded: messages without a gap between them. Pure.

Rules:

- Rows are in the order of their positions. Pages enlarge the stretch at either end, or begin it anew elsewhere.
- An event changes the row that it is about, wherever that is, and adds one at the end if the stretch reaches the end,
  or in the place that was kept for it; so much less is missing before the next.
- A page may be older than an event that came before it. What events told while a page was on its way is laid over it.
- The end that is far from what is looked at is let go at times, and can be loaded again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from p2pchat.cli.chat.rows import LAST, Row

ROWS: Final = 2000
_SLACK: Final = 500
"""So many more are let in before the far end is let go."""

End = Literal["older", "newer"]


class History:
    """See the rules above. ``rows`` is not to be changed by others."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.at_start = False
        self.at_end = False
        self._awaiting = False
        self._told: dict[str, Row] = {}
        self._places: dict[str, int] = {}
        """Positions by id."""

    def index(self, position: int) -> int:
        """Where the first row at ``position`` or after it is."""
        return bisect_left(self.rows, position, key=lambda row: row.position)

    def holds(self, position: int) -> bool:
        """Whether the row at ``position`` is loaded."""
        index = self.index(position)
        return index < len(self.rows) and self.rows[index].position == position

    def knows(self, row_id: str) -> bool:
        """Whether the message with this id is loaded."""
        return row_id in self._places

    def begin(self, rows: Sequence[Row], *, at_start: bool, at_end: bool) -> None:
        """Another stretch."""
        self.rows = [self._told.get(row.id, row) for row in rows]
        self.at_start, self.at_end = at_start, at_end
        self._settle()

    def extend(self, end: End, rows: Sequence[Row], *, last: bool) -> None:
        """A page at one end; ``last``: there is nothing beyond it."""
        fresh = [self._told.get(row.id, row) for row in rows if row.id not in self._places]
        if end == "older":
            self.rows = fresh + self.rows
            self.at_start = last
        else:
            self.rows = self.rows + fresh
            self.at_end = last
        self._settle()

    def put(self, row: Row) -> bool:
        """What an event tells of a message; whether it is new to the stretch."""
        if self._awaiting:
            self._told[row.id] = row
        if self._places.get(row.id) == row.position:
            index = self.index(row.position)
            self.rows[index] = row
            self._count_missing(index, index + 1)
            return False
        self._take_out(row.id)  # a position is one message's for good, unless a conversation becomes part of another
        index = self.index(row.position)
        if not (index or self.at_start) or not (index < len(self.rows) or self.at_end):
            return False
        self.rows.insert(index, row)
        self._places[row.id] = row.position
        self._count_missing(index, index + 2)
        return True

    @property
    def is_full(self) -> bool:
        """Whether it is time to :meth:`trim`."""
        return len(self.rows) > ROWS + _SLACK

    def trim(self, around: int) -> None:
        """Let go of the end that is farther from the row with this index."""
        if around > len(self.rows) // 2:
            del self.rows[:-ROWS]
            self.at_start = False
        else:
            del self.rows[ROWS:]
            self.at_end = False
        self._places = {row.id: row.position for row in self.rows}

    def remove(self, row_id: str) -> None:
        """A message that is gone."""
        self._told.pop(row_id, None)
        self._take_out(row_id)

    def asked(self) -> None:
        """A page is on its way, and no other."""
        self._awaiting = True
        self._told.clear()

    def unanswered(self) -> None:
        """It will not come."""
        self._awaiting = False
        self._told.clear()

    def forget(self) -> None:
        """Nothing is loaded."""
        self.rows = []
        self.at_start = self.at_end = False
        self._places.clear()

    def beyond(self, end: End) -> int:
        """The position to load from at one end."""
        if end == "older":
            return self.rows[0].position if self.rows else LAST - 1
        return self.rows[-1].position if self.rows else 0

    def _take_out(self, row_id: str) -> None:
        if row_id in self._places:
            del self.rows[self.index(self._places.pop(row_id))]

    def _settle(self) -> None:
        self._places = {row.id: row.position for row in self.rows}
        told = [row for row in self._told.values() if row.id not in self._places]
        self.unanswered()
        self._count_missing(0, len(self.rows))
        for row in sorted(told, key=lambda row: row.position):
            self.put(row)

    def _count_missing(self, first: int, last: int) -> None:
        """What is told of these rows may be older than those that have come in before them meanwhile."""
        for index in range(max(first, 1), min(last, len(self.rows))):
            row = self.rows[index]
            room = row.position - self.rows[index - 1].position - 1
            if row.missing > room:
                self.rows[index] = replace(row, missing=room)
