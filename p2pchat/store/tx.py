"""What a job of the store sees: SQL inside an open transaction, and the events to tell after its commit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from p2pchat.base.errors import StoreError
from p2pchat.core.events import DomainEvent
from p2pchat.store.sqlite import Connection, Cursor

Row = tuple[Any, ...]

_ROWS_A_STATEMENT: Final = (64, 8, 1)


class Tx:
    """What a job sees: SQL, and the events that are to be told after the commit.

    Args:
        connection: inside an open transaction.
        now_ms: unix ms, the same for everything in this job.
        refusal: why nothing new could be kept now.
    """

    __slots__ = ("_connection", "_refusal", "events", "left", "now_ms", "oldest")

    def __init__(self, connection: Connection, now_ms: int, refusal: StoreError | None = None) -> None:
        self._connection = connection
        self._refusal = refusal
        self.now_ms = now_ms
        self.events: list[DomainEvent] = []
        self.left: list[object] = []
        self.oldest: int | None = None  # of the event log, where this job has dropped some of it

    @property
    def now_s(self) -> int:
        """Unix seconds."""
        return self.now_ms // 1000

    def need_room(self) -> None:
        """What follows is new work: it is not begun where the disk could not keep it.

        Raises:
            StoreError: DiskFull, or why else nothing is written.
        """
        if self._refusal is not None:
            raise self._refusal

    def execute(self, sql: str, values: Sequence[object] = ()) -> Cursor:
        return self._connection.execute(sql, values)

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        self._connection.executemany(sql, rows)

    def insert_many(self, sql: str, values: str, rows: Sequence[Sequence[object]], end: str = "") -> None:
        """Insert ``rows`` by statements of many each: one of a row each takes twice as long, and gives up the
        interpreter's lock at every row.

        Args:
            sql: as far as VALUES.
            values: what follows for one row, such as ``(?, ?)``.
            end: what follows them all.
        """
        done = 0
        for size in _ROWS_A_STATEMENT:
            while len(rows) - done >= size:
                flat = list(chain.from_iterable(rows[done : done + size]))
                self._connection.execute(f"{sql} VALUES {', '.join([values] * size)} {end}", flat)
                done += size

    def leave(self, thing: object) -> None:
        """Leave ``thing`` for the finisher of this transaction (:meth:`Database.finish_with`)."""
        self.left.append(thing)

    def one(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        row: Row | None = self.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        return self.execute(sql, values).fetchall()

    def insert(self, sql: str, values: Sequence[object]) -> int:
        """The row id of what was inserted."""
        row_id = self.execute(sql, values).lastrowid
        assert row_id is not None  # noqa: S101  an INSERT always has one
        return row_id

    def emit(self, event: DomainEvent) -> None:
        """Write ``event`` with this transaction; subscribers learn of it after the commit."""
        self.execute(
            "INSERT INTO event (ts_ms, kind, subject, detail, more) VALUES (?, ?, ?, ?, ?)",
            (self.now_ms, event.kind.value, event.subject, event.detail or None, event.more),
        )
        if event.more:  # each of them has a seq of its own
            self.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'event'", (event.more,))
        self.events.append(event)
