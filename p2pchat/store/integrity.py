"""Whether a database is what was written: every page by its HMAC, and all trees by SQLite's own check.

Rules:

- SQLCipher reads the pages past SQLite, while another connection may be writing them: one that is called damaged is
  damaged only if it is so a second time.
- SQLite's check, which can be stopped, has the time that is left. Reading the pages takes 2 ms a MB and cannot.
- Nothing is written.

Measured: 100 MB take 0.2 s and 0.3 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2pchat.store.migrate import migrations
from p2pchat.store.sqlite import Connection, connect_read_only, driver_error, store_errors
from p2pchat.store.tx import Tx

_STEPS_A_LOOK: Final = 1_000  # of SQLite's machine, or pages, between two looks at the clock
_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True)
class Integrity:
    """What was found. ``problems`` counts places; ``is_finished``: all of it was looked at; ``bytes``: of the pages.

    ``schema`` is the database's, ``newest`` the newest that this program knows.
    """

    problems: int
    is_finished: bool
    bytes: int
    took_s: float
    schema: int
    newest: int


@contextmanager
def opened(path: Path, key: bytes, *, immutable: bool) -> Iterator[Tx]:
    """A database that nobody has open, to be read alone.

    Args:
        key: 32 bytes.
        immutable: see :func:`connect_read_only`.

    Raises:
        StoreError: it cannot be opened; Corrupt where the key does not fit.
    """
    connection = connect_read_only(path, key, immutable=immutable)
    try:
        with store_errors():
            yield Tx(connection, 0)
    finally:
        connection.close()


def check(tx: Tx, within_s: float, stopped: Callable[[], bool] = lambda: False) -> Integrity:
    """Look at all of it. Blocking.

    Args:
        tx: of a connection of its own, in which nothing else is done.
        within_s: how long SQLite's check may take.
        stopped: asked now and then whether nobody wants to know any more.

    Raises:
        StoreError: the disk refused.
    """
    began = time.monotonic()
    problems, is_finished = len(_bad_pages(tx)), True
    if not problems:
        problems, is_finished = _bad_trees(tx, lambda: stopped() or time.monotonic() - began > within_s)
    return Integrity(
        problems=problems,
        is_finished=is_finished,
        bytes=_pragma(tx, "page_count") * _pragma(tx, "page_size"),
        took_s=time.monotonic() - began,
        schema=_pragma(tx, "user_version"),
        newest=migrations()[-1][0],
    )


def _bad_pages(tx: Tx) -> set[str]:
    first = {str(row[0]) for row in tx.all("PRAGMA cipher_integrity_check")}
    return first and first & {str(row[0]) for row in tx.all("PRAGMA cipher_integrity_check")}


def _bad_trees(tx: Tx, is_over: Callable[[], bool]) -> tuple[int, bool]:
    """How many problems SQLite finds, and whether it got to the end."""
    connection: Connection = tx.execute("SELECT 1").connection
    connection.set_progress_handler(is_over, _STEPS_A_LOOK)
    try:
        rows = tx.all(f"PRAGMA quick_check({_PROBLEMS})")
    except driver_error as error:
        if "interrupted" not in str(error):
            raise
        return 0, False
    finally:
        connection.set_progress_handler(None, 0)
    return sum(len(str(row[0]).splitlines()) for row in rows if row[0] != "ok"), True


def _pragma(tx: Tx, name: str) -> int:
    row = tx.one(f"PRAGMA {name}")
    assert row is not None  # noqa: S101  each of them has a value
    return int(row[0])
