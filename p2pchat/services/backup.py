"""Backups: one file, sealed with a passphrase, of everything that a person would miss (docs/BACKUP.md).

Rules:

- It is one moment's: a snapshot is read while the node goes on.
- The file is written under another name and renamed: whatever goes wrong, nothing half-written is left, and nothing
  that was there is replaced. Of two that write the same file one is refused.
- Records stream: writing takes no more memory for a longer history.
- Nothing is written that could not be restored: a configuration file that this program does not take is refused.

Reading one: :mod:`p2pchat.services.backup_source`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import trio

from p2pchat.api.backup_place import PART, refuse_existing, refuse_unfit
from p2pchat.base.errors import DiskFull, StoreError, UsageError
from p2pchat.core.backup import SETTINGS_BYTES, Header, encode_record
from p2pchat.core.backup_file import MAGIC, MODERATE, Cost, Sealer
from p2pchat.core.crypto import Entropy
from p2pchat.services import config
from p2pchat.services.backup_source import Summary, opened
from p2pchat.store.backup import read
from p2pchat.store.db import Database
from p2pchat.store.keyfile import sync_directory

_RECORDS_A_LOOK: Final = 256  # records between two looks whether the caller is still there
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_at_once: Final = trio.CapacityLimiter(1)


async def create(
    database: Database,
    path: Path,
    passphrase: bytes,
    settings: Path | None,
    entropy: Entropy,
    *,
    own: Path | None = None,
    cost: Cost = MODERATE,
) -> Summary:
    """Write a backup of ``database`` into the new file ``path``.

    Args:
        path: absolute.
        settings: the configuration file, which goes into it if it is there.
        own: the profile's folder, in which no backup of it is written.

    Raises:
        UsageError: as :func:`p2pchat.api.backup_place.refuse_unfit`; INVALID_PARAMS, the configuration file is none.
        StoreError: the disk refused; DiskFull where it is full. No file is left.

    Concurrency: one at a time; cancelled, it stops and leaves no file.
    """
    work = partial(_create, database, path, passphrase, settings, entropy, own, cost)
    return await trio.to_thread.run_sync(work, limiter=_at_once)


async def verify(path: Path, passphrase: bytes) -> Summary:
    """Read all of a backup, in a thread; one at a time.

    Raises:
        WrongPassphrase, Corrupt, StoreError: as :mod:`p2pchat.services.backup_source`.
    """

    def work() -> Summary:
        with opened(path) as source:
            return source.check(passphrase, trio.from_thread.check_cancelled)

    return await trio.to_thread.run_sync(work, limiter=_at_once)


def _create(
    database: Database,
    path: Path,
    passphrase: bytes,
    settings: Path | None,
    entropy: Entropy,
    own: Path | None,
    cost: Cost,
) -> Summary:
    refuse_unfit(path, own)
    toml = _settings(settings) if settings is not None else b""
    with _new_file(path) as file:
        sealer = Sealer(passphrase, entropy, cost)
        file.write(sealer.head)
        with database.snapshot() as tx:
            reading = read(tx, toml)
            header = next(reading)
            file.write(sealer.feed(encode_record(header)))
            for number, record in enumerate(reading):
                if number % _RECORDS_A_LOOK == 0:
                    trio.from_thread.check_cancelled()
                file.write(sealer.feed(encode_record(record)))
        file.write(sealer.finish())
        size_bytes = file.tell()
    assert isinstance(header, Header)  # noqa: S101  nothing else is the first
    return Summary(header.made_ms, size_bytes, header.contacts, header.messages)


def _settings(path: Path) -> bytes:
    """The configuration file; nothing where there is none."""
    try:
        toml = path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"The configuration file cannot be read: {error.strerror}.") from error
    if len(toml) > SETTINGS_BYTES:
        raise StoreError(f"The configuration file has more than {SETTINGS_BYTES} bytes.")
    config.check(toml)
    return toml


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is at ``path`` when the block has ended well, whole and on the disk; else there is none."""
    with _disk_errors():
        part = path.with_name(path.name + PART)
        descriptor = _new_part(part)
        with open(descriptor, "wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(descriptor)
                refuse_existing(path)
                if not _is_at(part, descriptor):
                    raise StoreError("The backup cannot be written: somebody has taken its file away.")
                part.rename(path)
            except BaseException:
                if _is_at(part, descriptor):
                    part.unlink(missing_ok=True)
                raise
        sync_directory(path.parent)


def _new_part(part: Path) -> int:
    """The descriptor of the new file ``part``, which is locked as long as it is open."""
    try:
        descriptor = os.open(part, _NEW, 0o600)
    except FileExistsError:
        _remove_killed(part)
        descriptor = os.open(part, _NEW, 0o600)
    _lock(descriptor)
    return descriptor


def _remove_killed(part: Path) -> None:
    """Remove what a backup that was killed has left; nothing else, and not while it is written."""
    descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as left:
        _lock(descriptor)
        begins = left.read(len(MAGIC)) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        if begins not in (b"", MAGIC) or not _is_at(part, descriptor):
            raise UsageError("There is a file of that name with .part at its end already.", name="ALREADY_EXISTS")
        part.unlink()


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError("Another backup is being written into that file.", name="ALREADY_EXISTS") from None


def _is_at(part: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(part.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull("The disk is full: no backup was made.") from error
        raise StoreError(f"The backup cannot be written: {error.strerror}.") from error
