"""What the store knows of the disk under it, and the reserve that it gives up when space ends.

    ok ── a write is refused ──▶ full | read_only | failing ── room again, and a write that succeeds ──▶ ok
    ok ── a commit takes longer than SLOW_S ──▶ slow ── none did for CALM_S ──▶ ok
    any ── a page that does not open ──▶ damaged, for good

Rules:

- A refusal of SQLite says "full" or "disk I/O error" and no more: a byte written beside the database says why.
- While it is not ``ok`` or ``slow`` nothing new is taken on that could not be kept (:meth:`Disk.refusal`). What makes
  room, or ends what was begun, is tried all the same: for that there is the reserve, a file of ``DISK_RESERVE_BYTES``.
  The write-ahead log needs space before anything can be deleted, so half of the reserve is given up with the first
  refusal. Emptying the log, which gives it back, may let the database grow: the other half is for that alone. With one
  piece for both the log took all of it, and could not be emptied any more.
- It is ``ok`` again once the reserve is there again, and the database took a write: looked at once where
  it had taken all for so long, then every ``PROBE_S``.
- A damaged database is never written again: see docs/adr/0009.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from p2pchat.base.errors import Corrupt, DiskFull, StoreError
from p2pchat.base.limits import DISK_RESERVE_BYTES
from p2pchat.store.sqlite import Connection, checkpoint, driver_error, store_errors

DiskState = Literal["ok", "slow", "full", "read_only", "failing", "damaged"]

SLOW_S: Final = 1.0
CALM_S: Final = 60.0
PROBE_S: Final = 5.0
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
_PAGE: Final = 4096

DAMAGED: Final = (
    "The database is damaged: nothing is written into it any more, and the daemon ends. See what can be saved: "
    "p2pchat doctor --fix"
)


class Disk:
    """The state of the disk, out of what the store met.

    Args:
        database: its file; None for one in memory, which has no reserve.
        clock: seconds that only rise.

    Concurrency: called on the store's thread; :attr:`state` and :meth:`shown` may be read anywhere.
    """

    def __init__(self, database: Path | None, clock: Callable[[], float]) -> None:
        self.state: DiskState = "ok"
        self._database = database
        self._reserve = None if database is None else _beside(database, "-reserve")
        self._clock = clock
        self._began: float | None = None
        self._slow_at = 0.0
        self._every_s = PROBE_S
        self._probed_at = -PROBE_S
        self._probe_at = 0.0

    @property
    def is_writable(self) -> bool:
        """Whether the last that was written was kept."""
        return self.state in ("ok", "slow")

    def shown(self) -> DiskState:
        """The state as a user is told it: a commit that does not come to its end is slow already."""
        began = self._began
        waits = began is not None and self._clock() - began > SLOW_S
        return "slow" if waits and self.state == "ok" else self.state

    def refusal(self) -> StoreError | None:
        """Why nothing new is taken on; None where it is."""
        match self.state:
            case "ok" | "slow":
                return None
            case "full":
                return DiskFull("The disk is full: nothing of this was stored.")
            case "read_only":
                return StoreError("The disk can only be read: nothing of this was stored.")
            case "failing":
                return StoreError("The disk refuses what is written: nothing of this was stored.")
            case "damaged":
                return Corrupt(DAMAGED)

    # -- what the store met -------------------------------------------------------------------------------------------

    def began(self) -> None:
        """A transaction begins."""
        self._began = self._clock()

    def ended(self) -> None:
        """The transaction that began is over, in whatever way."""
        now = self._clock()
        took_s = 0.0 if self._began is None else now - self._began
        self._began = None
        if took_s > SLOW_S:
            self._slow_at = now
            if self.state == "ok":
                self.state = "slow"
        elif self.state == "slow" and now - self._slow_at > CALM_S:
            self.state = "ok"

    def refused(self, error: BaseException) -> None:
        """A job, or a transaction, has ended with ``error``: maybe the disk's."""
        if not isinstance(error, StoreError) or not isinstance(error.__cause__, driver_error):
            return
        if isinstance(error, Corrupt):
            self.state = "damaged"
        if self.state == "damaged":
            return
        if self.is_writable:
            self._probe_at = max(self._clock(), self._probed_at + self._every_s)
        self.state = "full" if isinstance(error, DiskFull) else self._why()
        self._shrink(DISK_RESERVE_BYTES // 2)

    # -- the way back -------------------------------------------------------------------------------------------------

    def next_probe_s(self) -> float | None:
        """In how many seconds it is time for a :meth:`probe`; None where nothing is wrong, or all is."""
        if self.is_writable or self.state == "damaged":
            return None
        left_s = self._probe_at - self._clock()
        return left_s if 0 < left_s <= self._every_s else 0.0  # a virtual clock may have been set back

    def probe(self, sound: Callable[[], Connection]) -> None:
        """Look, if it is time to, whether the disk takes again what is written: the file's head, as it is.

        Args:
            sound: the connection, which may have to be opened anew.
        """
        if self.next_probe_s() != 0 or not self.has_room():
            return
        try:
            with store_errors():
                _write_head(sound())
            checkpoint(sound())
        except StoreError as error:
            self.refused(error)
        else:
            self.state = "ok"

    def undo_for_good(self, connection: Connection) -> None:
        """Write over what a transaction has left in the log that failed.

        It may stand there whole: where the sync of its end fails SQLite calls it off, and whoever opens the log after a
        crash takes it for committed. Where this is refused too, that stays possible until the next write succeeds.
        """
        if not self.is_writable and self.state != "damaged":
            with suppress(driver_error):
                _write_head(connection)

    def make_room(self, connection: Connection) -> None:
        """Empty the log of a full disk, if need be with the rest of the reserve, and keep what that gives back."""
        if self.state != "full":
            return
        try:
            checkpoint(connection)
        except StoreError:
            self._shrink(0)
            with suppress(StoreError):
                checkpoint(connection)
        if self._reserve is not None:
            with suppress(OSError):
                _fill(self._reserve, DISK_RESERVE_BYTES // 2)

    def has_room(self) -> bool:
        """Make the reserve again, if there is room for it and for more beside it."""
        self._probed_at = self._clock()
        self._probe_at = self._probed_at + self._every_s
        refused = self._make_reserve()
        if refused is not None:
            self.state = refused
        return refused is None

    def open(self) -> None:
        """Make the reserve, for a store that begins; where there is no room for it the disk is full from the start."""
        self.state = self._make_reserve() or "ok"

    def _make_reserve(self) -> DiskState | None:
        """Why there can be none; None where there is one."""
        if self._reserve is None:
            return None
        try:
            _fill(self._reserve, DISK_RESERVE_BYTES)
            self._write_a_byte()
        except OSError as error:
            self._shrink(DISK_RESERVE_BYTES // 2)
            return _state(error)
        return None

    def _shrink(self, size: int) -> None:
        if self._reserve is not None:
            with suppress(OSError):  # where nothing can be written it stays, and is of no use
                if not size:
                    self._reserve.unlink(missing_ok=True)
                elif _size(self._reserve) > size:
                    os.truncate(self._reserve, size)

    def _why(self) -> DiskState:
        try:
            self._write_a_byte()
        except OSError as error:
            return _state(error)
        return "failing"

    def _write_a_byte(self) -> None:
        """Write beyond where the files of the database end: it may be their length that the system refuses.

        Raises:
            OSError: why.
        """
        if self._database is None:
            return
        place = _beside(self._database, "-probe")
        try:
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, b"\0", max(map(_size, (self._database, _beside(self._database, "-wal")))) + _PAGE)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        finally:
            with suppress(OSError):
                place.unlink(missing_ok=True)


def _write_head(connection: Connection) -> None:
    """Write the head of the file as it is."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version:d}")


def _state(error: OSError) -> DiskState:
    if error.errno in _NO_ROOM:
        return "full"
    return "read_only" if error.errno in _NO_RIGHT else "failing"


def _fill(path: Path, size: int) -> None:
    """Raises: OSError: there is no room for it; what was there stays."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # there is no log yet
        return 0
