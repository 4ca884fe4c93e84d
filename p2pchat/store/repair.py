"""What a damaged database still gives, put into a new one, with a new device in it (docs/adr/0009).

Rules:

- The damaged files are read, never written, and never removed: at the end they stand beside the new database under
  another name.
- What is saved is what a backup would hold, and becomes what restoring it would make: sessions and ratchets, of which
  nobody knows how old the pages are, are given up.
- SQLCipher opens no page any more after the first that fails: after each a new connection goes on behind it.
- Killed at any moment it has changed nothing, or the next call ends what it began: the damaged database has left its
  place by then, and nobody starts on it.

Concurrency: blocking, minutes for a large database; for whoever holds the lock of the profile.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from p2pchat.base.errors import Corrupt, DiskFull, StoreError
from p2pchat.core.crypto import Entropy
from p2pchat.store.backup import KEPT, read
from p2pchat.store.keyfile import sync_directory
from p2pchat.store.migrate import migrate
from p2pchat.store.restore import Restoration
from p2pchat.store.sqlite import Connection, checkpoint, connect, connect_read_only, driver_error, store_errors
from p2pchat.store.tx import Row, Tx

_TABLES: Final = ("meta", "session", *KEPT)
"""What :func:`p2pchat.store.backup.read` looks at."""

_PAGE_ROWS: Final = 256
_TIME: Final = "%Y%m%d-%H%M%S"
_HIGHEST: Final = (1 << 63) - 1
_LISTED: Final = 1_000_000  # damaged pages that are counted

NOTHING: Final = (
    "The database gives nothing that could be saved: who you are is in a page that is damaged. "
    "Move the profile's folder away, and restore a backup with: p2pchat backup restore FILE"
)


@dataclass(frozen=True, slots=True)
class Saved:
    """Rows of one kind that can be read; ``of``: how many there are, None where that cannot be counted."""

    rows: int
    of: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a database is worth.

    Attributes:
        pages, damaged: how many it has, and how many of them do not open.
        opens: SQLite can begin to read it at all.
        sound: nothing is wrong with it.
        cut: a repair was cut short, and the next one ends it.
        contacts, messages: what can be read of them.
        has_owner: who this is can be read: without that nothing can be saved.
        aside: where the damaged database is, once it was repaired.
    """

    pages: int
    damaged: int
    opens: bool
    sound: bool
    cut: bool = False
    has_owner: bool = False
    contacts: Saved = field(default=Saved(0, None))
    messages: Saved = field(default=Saved(0, None))
    aside: Path | None = None


def inspect(path: Path, key: bytes) -> Report:
    """Read all of the database, and change nothing.

    Args:
        path: the database; no daemon runs.
        key: 32 bytes.

    Raises:
        StoreError: it cannot be read for another reason than damage.
    """
    if not path.exists():
        return Report(0, 0, opens=False, sound=False, cut=_whole(path).exists())
    size = path.stat().st_size
    source = _Source(path, key)
    with source.closing():
        if not source.opens():
            return Report(size // 4096, 0, opens=False, sound=False)
        pages, damaged, sound = source.integrity()
        counts = {table: sum(1 for _ in source.rows(table)) for table in ("contact", "message")}
        has_owner = any(row[0] == "profile" for row in source.rows("meta"))
        contacts = Saved(counts["contact"], source.count("contact"))
        messages = Saved(counts["message"], source.count("message"))
    return Report(pages, damaged, opens=True, sound=sound, has_owner=has_owner, contacts=contacts, messages=messages)


def salvage(path: Path, key: bytes, entropy: Entropy, now_ms: int) -> Report:
    """Make a new database of what the damaged one gives, and put it in its place.

    Args:
        path: the database; the caller holds the profile, and has asked its user.
        key: 32 bytes; the new database has the same.
        entropy, now_ms: for the new device.

    Raises:
        Corrupt: nothing can be saved; nothing was changed.
        StoreError: the disk refused; nothing was changed, or the next call goes on.
    """
    whole = _whole(path)
    if not path.exists() and whole.exists():
        return Report(0, 0, opens=False, sound=True, cut=True, aside=_swapped(path, whole))
    before = inspect(path, key)
    if not before.has_owner:
        raise Corrupt(NOTHING)
    scratch, building = _beside(path, ".salvage"), _beside(path, ".building")
    try:
        with _disk_errors():
            for leftover in (scratch, building, whole):
                _remove(leftover)
            contacts, messages = _salvaged(path, key, scratch, building, entropy, now_ms)
            _sync(building)
            building.replace(whole)
            sync_directory(path.parent)
    finally:
        for leftover in (scratch, building):
            with suppress(OSError):
                _remove(leftover)
    with _disk_errors():
        aside = _swapped(path, whole)
    return Report(
        before.pages,
        before.damaged,
        opens=True,
        sound=True,
        has_owner=True,
        contacts=Saved(contacts, before.contacts.of),
        messages=Saved(messages, before.messages.of),
        aside=aside,
    )


def _salvaged(path: Path, key: bytes, scratch: Path, building: Path, entropy: Entropy, now_ms: int) -> tuple[int, int]:
    """How many contacts and messages are in the new database."""
    source = _Source(path, key)
    with source.closing(), _new(scratch, key) as rescued:
        rescued.execute("PRAGMA foreign_keys = OFF")  # rows of which others tell may be lost
        rescued.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            known = _columns(rescued, table)
            columns = [column for column in source.columns(table) if column in known]
            places = ", ".join("?" * len(columns))
            sql = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
            for row in source.rows(table, columns):
                with suppress(driver_error):  # a row that contradicts the schema is lost, too
                    rescued.execute(sql, row)
        rescued.execute(
            "UPDATE contact SET invite = NULL WHERE invite IS NOT NULL AND invite NOT IN (SELECT id FROM invite)"
        )
        rescued.execute("COMMIT")
        with _new(building, key) as made:
            made.execute("BEGIN IMMEDIATE")
            restoration = Restoration(Tx(made, now_ms), entropy)
            for record in read(Tx(rescued, now_ms), b""):
                restoration.put(record)
            made.execute("COMMIT")
            checkpoint(made)
            counts = [made.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("contact", "message")]  # noqa: S608
    return counts[0], counts[1]


class _Source:
    """A damaged database, read on as many connections as it takes."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._connection: Connection | None = None

    @contextmanager
    def closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._drop()

    def opens(self) -> bool:
        try:
            self._read("SELECT count(*) FROM sqlite_master")
        except (Corrupt, driver_error):
            return False
        return True

    def integrity(self) -> tuple[int, int, bool]:
        """Pages, how many of them do not open, and whether nothing at all is wrong."""
        ((pages,),) = self._read("PRAGMA page_count")
        damaged = 0
        for _ in self._open().execute("PRAGMA cipher_integrity_check"):
            damaged += 1
            if damaged == _LISTED:
                break
        if damaged:
            return pages, damaged, False
        try:
            return pages, 0, self._read("PRAGMA quick_check(1)") == [("ok",)]
        except (Corrupt, driver_error):
            self._drop()
            return pages, 0, False

    def count(self, table: str) -> int | None:
        """How many rows there are, by whatever index can be read; None by none."""
        try:
            ((count,),) = self._read(f"SELECT count(*) FROM {table}")  # noqa: S608
        except (Corrupt, driver_error):
            self._drop()
            return None
        return int(count)

    def columns(self, table: str) -> list[str]:
        return _columns(self._open(), table)

    def rows(self, table: str, columns: list[str] | None = None) -> Iterator[Row]:
        """All that can be read, in the order of their keys, as far as that goes."""
        names = columns if columns is not None else self.columns(table)
        if not names:  # an older schema did not have it
            return
        if self._is_keyed(table):
            yield from self._both_ends(table, names)
            return
        after = -1
        while True:
            try:
                while page := self._page(table, names, after):
                    for rowid, *row in page:
                        yield tuple(row)
                        after = rowid
            except (Corrupt, driver_error):
                self._drop()
                behind = self._behind(table, names, after)
                if behind is None:
                    return
                after = behind
            else:
                return

    def _page(self, table: str, names: list[str], after: int, count: int = _PAGE_ROWS) -> list[Row]:
        """Rows after one; a page in which one row fails is read row by row, to lose no other."""
        sql = f"SELECT rowid, {', '.join(names)} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608
        try:
            return self._read(sql, (after, count))
        except (Corrupt, driver_error):
            self._drop()
            if count == 1:
                raise
            return self._page(table, names, after, count // 4 or 1)

    def _behind(self, table: str, names: list[str], after: int) -> int | None:
        """The least row id known behind which rows can be read again; None: there is none."""

        def reads(rowid: int) -> bool:
            try:
                found = self._page(table, names, rowid, 1)
            except (Corrupt, driver_error):
                self._drop()
                return False
            return bool(found)

        step = 1
        while after + step < _HIGHEST and not reads(after + step):
            step *= 2
        if after + step >= _HIGHEST:
            return None
        low, high = after + step // 2, after + step  # low does not read
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reads(middle) else (middle, high)
        return high

    def _both_ends(self, table: str, names: list[str]) -> Iterator[Row]:
        """Of a table without row ids: forward as far as it goes, then backward."""
        seen: set[Row] = set()
        keys = ", ".join(self._keys(table))
        for order in ("", " DESC"):
            by = ", ".join(f"{key}{order}" for key in keys.split(", "))
            try:
                for row in self._open().execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {by}"):  # noqa: S608
                    if row not in seen:
                        seen.add(row)
                        yield row
            except driver_error:
                self._drop()
            else:
                return

    def _keys(self, table: str) -> list[str]:
        rows = self._read(f"PRAGMA table_info({table})")
        return [name for _, name in sorted((row[5], row[1]) for row in rows if row[5])]

    def _is_keyed(self, table: str) -> bool:
        (row,) = self._read("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
        return "WITHOUT ROWID" in row[0]

    def _read(self, sql: str, values: tuple[object, ...] = ()) -> list[Row]:
        return self._open().execute(sql, values).fetchall()

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect_read_only(self._path, self._key)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _columns(connection: Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


@contextmanager
def _new(path: Path, key: bytes) -> Iterator[Connection]:
    path.touch(mode=0o600)
    with store_errors():
        connection = connect(path, key)
        try:
            migrate(connection)
            yield connection
        finally:
            connection.close()


def _swapped(path: Path, whole: Path) -> Path:
    """Put the new database in the place of the old one; where that is now.

    The old one leaves its place first, and its log after it: a log beside another database would be read into that.
    """
    if path.exists():
        aside = _free_name(path)
        path.rename(aside)
    else:  # the last that was renamed, which is not that of the latest name where the clock was set back
        renamed = path.parent.glob(f"{path.name}.damaged-*[0-9]")
        aside = max(renamed, key=lambda each: each.stat().st_ctime_ns, default=path)
    log = _beside(path, "-wal")
    if log.exists():
        log.rename(_beside(aside, "-wal"))
    _beside(path, "-shm").unlink(missing_ok=True)
    sync_directory(path.parent)
    whole.rename(path)
    sync_directory(path.parent)
    return aside


def _free_name(path: Path) -> Path:
    """For the damaged database, beside the others: of two with one name the first would be gone."""
    at = time.time()
    while (aside := path.with_name(f"{path.name}.damaged-{time.strftime(_TIME, time.gmtime(at))}")).exists():
        at += 1
    return aside


def _whole(path: Path) -> Path:
    return _beside(path, ".repaired")


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        _beside(path, end).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("The disk is full: a repair needs as much room as the database has.") from error
        raise StoreError(f"The database cannot be repaired: {error.strerror}.") from error
