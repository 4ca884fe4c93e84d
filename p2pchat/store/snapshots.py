"""Readers beside the node: each sees what was committed when it began, on a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from p2pchat.base.errors import StoreError
from p2pchat.store.sqlite import Connection, store_errors
from p2pchat.store.tx import Tx


class Snapshots:
    """Those of one store.

    Args:
        again: opens the database once more; it holds the key.

    Concurrency: from any thread.
    """

    def __init__(self, again: Callable[[], Connection] | None) -> None:
        self._again = again
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False

    @contextmanager
    def one(self, now_ms: int) -> Iterator[Tx]:
        """A reader, until the end of the block.

        Raises:
            StoreError: the disk refused, or the store is closed.
        """
        with self._counted():
            assert self._again is not None  # noqa: S101  a database in memory has no second reader
            connection = self._again()
            try:
                with store_errors():
                    connection.execute("PRAGMA query_only = ON")
                    connection.execute("BEGIN")
                    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # begins with the first reading
                    yield Tx(connection, now_ms)
            finally:
                connection.close()

    def refuse(self) -> bool:
        """Begin no more of them; whether some have not ended."""
        with self._changed:
            self._closed = True
            return self._count > 0

    def wait(self) -> None:
        """Until all have ended. Blocking."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count)

    def forget(self) -> None:
        """Let go of the key, once all have ended."""
        self._again = None

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changed:
            if self._closed:
                raise StoreError("The store is closed.")
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()
