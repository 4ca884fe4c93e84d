"""The connection of a store, opened anew where the disk has failed a reading.

SQLCipher takes what a reading did not give for a page that does not open, and then every page, for the life of the
connection: "malformed", "not a database". The file may be as sound as before, and whoever believed it would have a
daemon ended, and a user told of damage, by a cable that was loose for a second.
"""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.base.errors import Corrupt, DiskFull, StoreError
from p2pchat.store.sqlite import Connection, driver_error, store_errors


class Reopening:
    """That of one store.

    Args:
        again: opens the database once more; None where it is in memory.

    Concurrency: called on the store's thread.
    """

    def __init__(self, again: Callable[[], Connection] | None) -> None:
        self._again = again
        self._is_spoilt = False

    def failed(self, connection: Connection, error: BaseException) -> None:
        """A transaction has ended with ``error``: see whether ``connection`` still reads, if the disk has failed."""
        by_disk = isinstance(error, StoreError) and isinstance(error.__cause__, driver_error)
        if self._again is None or not by_disk or isinstance(error, (Corrupt, DiskFull)):
            return
        try:
            connection.execute("PRAGMA shrink_memory")  # so that the first page is read
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except driver_error:
            self._is_spoilt = True

    def sound(self, connection: Connection) -> Connection:
        """``connection``, or the one that is to be used in its place.

        Raises:
            StoreError: the disk still fails; Corrupt where the file is what is not sound.
        """
        if self._again is None or not self._is_spoilt:
            return connection
        with store_errors():
            another = self._again()
            connection.close()
        self._is_spoilt = False
        return another
