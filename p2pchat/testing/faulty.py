"""Disks that fail when they are told to: what stands between a store and its connection.

Three kinds: one statement fails, as the n-th from now on, which is how every write, every COMMIT and with it every
fsync of a step is failed in turn; or everything that writes, or everything, fails until it is healed, as on a disk that
is full, or that cannot be read; or each transaction takes its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NoReturn, Self, TypeVar, cast

import trio

from p2pchat.store.db import Database, Job
from p2pchat.store.sqlite import Connection, Cursor, driver_error

Ill = Literal["full", "failing", "unreadable"]

T = TypeVar("T")

_UNDOING: Final = ("ROLLBACK", "RELEASE")  # SQLite undoes what has failed without the disk
_READING: Final = ("SELECT", "SAVEPOINT", "BEGIN")
_META: Final = ("PRAGMA user_version =", "PRAGMA wal_checkpoint")
_WORDS: Final[dict[Ill, str]] = {
    "full": "database or disk is full",
    "failing": "disk I/O error",
    "unreadable": "disk I/O error",
}


class FaultyConnection:
    """A connection of SQLite whose disk fails.

    Attributes:
        struck: the statement that failed last, since :meth:`arm`.
        ill: why all that is written fails now, and all that is read where it is unreadable; None: it does not.
        refused: how many statements failed for that.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left = 0
        self._is_dirty = False
        self.struck = ""
        self._ill: Ill | None = None
        self.refused = 0

    @classmethod
    def under(cls, database: Database) -> Self:
        """Put one under a store, for good."""
        faulty = cls(database._connection)  # pyright: ignore[reportPrivateUsage]
        database._connection = cast(Connection, faulty)  # pyright: ignore[reportPrivateUsage]
        return faulty

    @property
    def ill(self) -> Ill | None:
        """See above."""
        return self._ill

    @ill.setter
    def ill(self, ill: Ill | None) -> None:
        self._ill = ill
        self._is_dirty = True  # a transaction that is under way: what it has written was not looked at

    def arm(self, number: int) -> None:
        """Let the ``number``-th statement from now on fail, once; 0: none."""
        self._left, self.struck = number, ""

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def total_changes(self) -> int:
        return self._connection.total_changes

    def execute(self, sql: str, values: Sequence[object] = ()) -> Cursor:
        if self._left or self._ill is not None:
            self._look(sql)
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> Cursor:
        self._look(sql)
        return self._connection.executemany(sql, rows)

    def close(self) -> None:
        self._connection.close()

    def _look(self, sql: str) -> None:
        if sql.startswith(_UNDOING):
            return
        if self._left:
            self._left -= 1
            if not self._left:
                self.struck = sql
                self._refuse("failing")
        if self._ill is not None and self._writes(sql):
            self.refused += 1
            self._refuse(self._ill)

    def _refuse(self, ill: Ill) -> NoReturn:
        """SQLite calls off the whole transaction where the disk refuses, at its end or in its midst."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        raise driver_error(_WORDS[ill])

    def _writes(self, sql: str) -> bool:
        """A transaction that has changed nothing commits without the disk."""
        if self.ill == "unreadable":
            return True
        if sql == "COMMIT":
            return self._is_dirty
        if sql.startswith("BEGIN"):
            self._is_dirty = False
        is_written = not sql.startswith(_READING)
        self._is_dirty |= is_written
        return sql.startswith(_META)  # of the others the pages meet the disk when they are committed


class Slowness:
    """What makes each transaction of a store wait on the virtual clock, one behind the other, as a disk does.

    Attributes:
        seconds: for how long; 0: it is as fast as memory.
    """

    def __init__(self, database: Database) -> None:
        self.seconds = 0.0
        self._run = database.run
        self._turn = trio.Lock()
        database.run = self._slowly  # type: ignore[method-assign]

    async def _slowly(self, job: Job[T]) -> T:
        if not self.seconds:
            return await self._run(job)
        async with self._turn:
            await trio.sleep(self.seconds)
            return await self._run(job)
