"""The SQLCipher connection: opening, pragmas, and its errors in our words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlcipher3.dbapi2 as driver

from p2pchat.base.errors import Corrupt, DiskFull, StoreError

if TYPE_CHECKING:
    # sqlcipher3 is a drop-in for sqlite3 and has no type information of its own
    from sqlite3 import Connection, Cursor
else:
    Connection = driver.Connection
    Cursor = driver.Cursor

__all__ = [
    "Connection",
    "Cursor",
    "checkpoint",
    "connect",
    "connect_read_only",
    "driver_error",
    "integrity_error",
    "is_damage",
    "store_errors",
]

driver_error = driver.Error
integrity_error = driver.IntegrityError

_BUSY_MS: Final = 5_000  # the driver's own
_NO_ROOM_BYTES: Final = 64 * 1024  # the index of the write-ahead log takes 32 KiB, before anything is written

_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",
    "foreign_keys = ON",
    "temp_store = MEMORY",
    "wal_autocheckpoint = 1000",
    "cache_size = -8000",
)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the driver's errors into ours, by what the user can do about them."""
    try:
        yield
    except driver.Error as error:
        text = str(error)
        if "is full" in text:
            raise DiskFull("The disk is full: nothing of this was stored.") from error
        if "malformed" in text or "not a database" in text or "hmac" in text.lower():
            raise Corrupt("The database is damaged or its key is another's; see: p2pchat doctor --fix") from error
        if any(sign in text for sign in ("readonly", "unable to open", "disk I/O", "locked")):
            raise StoreError(f"The database cannot be written: {text}.") from error
        raise


def is_damage(error: BaseException) -> bool:
    """Whether a page did not open: not what a value in a page that did says."""
    return isinstance(error, Corrupt) and isinstance(error.__cause__, driver_error)


def connect(path: Path | None, key: bytes) -> Connection:
    """Open (or create) the database.

    Args:
        path: the file, or None for one in memory (tests and simulation).
        key: 32 bytes.

    Raises:
        StoreError: it cannot be opened; Corrupt where the key does not fit, DiskFull where there is no room for the
            files that SQLite keeps beside it, of which it says "disk I/O error".
    """
    try:
        return _connected(path, key)
    except StoreError as error:
        if path is not None and not isinstance(error, Corrupt) and _is_full(path.parent):
            raise DiskFull("The disk is full: the database cannot be opened.") from error
        raise


def _is_full(folder: Path) -> bool:
    with suppress(OSError):
        space = os.statvfs(folder)
        return not space.f_flag & os.ST_RDONLY and space.f_bavail * space.f_frsize < _NO_ROOM_BYTES
    return False


def _connected(path: Path | None, key: bytes) -> Connection:
    with store_errors():
        connection: Connection = driver.connect(
            str(path) if path else ":memory:", isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            _begin(connection, key)
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
    return connection


def connect_read_only(path: Path, key: bytes, *, immutable: bool = False) -> Connection:
    """Open a database of which no byte shall change: its log is read, and stays as it is.

    Args:
        immutable: nobody has it open and its log is empty, or nothing can be written beside it; no file is made there.

    Raises:
        StoreError: it cannot be opened; Corrupt where the key does not fit, or its first page is damaged.
    """
    with store_errors():
        connection: Connection = driver.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable={immutable:d}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _begin(connection, key)
        except BaseException:
            connection.close()
            raise
    return connection


def _begin(connection: Connection, key: bytes) -> None:
    connection.execute("PRAGMA cipher_log_level = NONE")  # to stderr, past our log; what it says is raised, too
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def checkpoint(connection: Connection) -> bool:
    """Move the write-ahead log into the file and empty it: the log would keep old ratchet states.

    Returns:
        False where somebody still reads what was before it; it does not wait for them.
    """
    with store_errors():
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    return not busy
