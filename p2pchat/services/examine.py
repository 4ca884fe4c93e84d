"""What the doctor looks at on this machine: the profile's files, the disk, memory, and the clock. Blocking; no network.

Rules:

- It works without a key and beside a running daemon. The one file that it writes is removed again.
- Facts are numbers, times and paths of the profile.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2pchat.api.diagnosis import Finding, found
from p2pchat.base import limits
from p2pchat.base.errors import Corrupt, StoreError, UsageError
from p2pchat.services import config
from p2pchat.services.configure import refuse_unusable
from p2pchat.store.keyfile import needs_passphrase

_MIB: Final = 1 << 20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_MADE_S: Final = 1_790_000_000  # in September 2026, before any version that has this check
_AHEAD_S: Final = 4_102_444_800  # the year 2100
_TOLERANCE_S: Final = 600  # files of another machine's clock
_MEMORY: Final = Path("/proc/meminfo")
_PROBE_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Files:
    """Those of one profile. ``folder``: its own; ``settings``: its configuration file, which need not be there."""

    folder: Path
    settings: Path

    @property
    def key(self) -> Path:
        """The key file."""
        return self.folder / "key"

    @property
    def database(self) -> Path:
        """The database."""
        return self.folder / "p2pchat.db"

    def of_database(self) -> list[Path]:
        """It and what SQLite keeps beside it."""
        return [self.database, *(self.database.with_name(self.database.name + end) for end in ("-wal", "-shm"))]


def examine(files: Files, now_s: float) -> list[Finding]:
    """Everything that can be looked at without a key; ``now_s``: unix seconds."""
    return [
        configuration(files),
        permissions(files),
        key(files),
        disk(files.folder),
        memory(),
        clock(files, now_s),
    ]


def configuration(files: Files) -> Finding:
    """Whether the next start would take the configuration file."""
    if not files.settings.exists():
        return found("configuration.none")
    try:
        refuse_unusable(config.load(files.settings, {}, {}))
    except UsageError as error:
        return found("configuration.refused", reason=error.message, path=str(files.settings))
    return found("configuration.ok")


def permissions(files: Files) -> Finding:
    """Whether the profile's files are its user's, and closed to others."""
    foreign = [path for path in _own(files) if _uid(path) not in (None, os.geteuid())]
    if foreign:
        return found("permissions.foreign", paths=list(map(str, foreign)))
    open_ = loose(files)
    return found("permissions.open", paths=list(map(str, open_))) if open_ else found("permissions.ok")


def loose(files: Files) -> list[Path]:
    """What others can get at and should not."""
    return [path for path in _own(files) if (_mode(path) or 0) & _forbidden(files, path)]


def close(files: Files) -> list[Path]:
    """Take the rights to :func:`loose` ones away from others; which they were.

    Raises:
        StoreError: the system refuses.
    """
    open_ = loose(files)
    try:
        for path in open_:
            path.chmod((_mode(path) or 0) & 0o777 & ~_forbidden(files, path))
    except OSError as error:
        raise StoreError(f"The rights of a file cannot be changed: {error.strerror}.") from error
    return open_


def key(files: Files) -> Finding:
    """Whether the key file is there and can be read."""
    try:
        return found("key.protected" if needs_passphrase(files.key) else "key.open")
    except Corrupt:
        return found("key.damaged", folder=str(files.folder))
    except StoreError as error:
        if not files.key.exists():
            return found("key.none", folder=str(files.folder))
        return found("key.unreadable", reason=error.message, folder=str(files.folder))


def disk(folder: Path) -> Finding:
    """Whether there is room, and how long a write takes that is to stay."""
    try:
        space = os.statvfs(folder)
        if space.f_flag & os.ST_RDONLY:
            return found("disk.read_only", folder=str(folder))
        free = space.f_bavail * space.f_frsize
        took_s = _write(folder)
    except OSError as error:
        if error.errno == errno.EROFS:
            return found("disk.read_only", folder=str(folder))
        if error.errno in _FULL:
            return found("disk.full", folder=str(folder))
        return found("disk.refused", folder=str(folder), reason=str(error.strerror))
    if free < limits.DISK_FULL_BYTES:
        return found("disk.full", folder=str(folder))
    if free < limits.DISK_LOW_BYTES:
        return found("disk.low", folder=str(folder), free_mib=free // _MIB)
    if took_s > limits.DISK_SLOW_S:
        return found("disk.slow", ms=_ms(took_s))
    return found("disk.ok", free_mib=free // _MIB, ms=_ms(took_s))


def memory(source: Path = _MEMORY) -> Finding:
    """Whether there is enough for Argon2id."""
    try:
        available = re.search(r"^MemAvailable:\s+(\d+) kB$", source.read_text("ascii"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        available = None
    if available is None:
        return found("memory.unknown")
    free = int(available[1]) * 1024
    return found("memory.ok" if free >= limits.MEMORY_LOW_BYTES else "memory.low", free_mib=free // _MIB)


def clock(files: Files, now_s: float) -> Finding:
    """Whether the clock can be right, by the files of the profile and the age of this program."""
    written = max((_written_s(path) or 0 for path in (files.key, *files.of_database())), default=0)
    known = max(written, _MADE_S)
    if now_s < max(written - _TOLERANCE_S, _MADE_S):
        return found("clock.behind", date=_day(now_s), known=_day(known))
    return found("clock.ahead", date=_day(now_s)) if now_s > _AHEAD_S else found("clock.plausible")


def _own(files: Files) -> Iterable[Path]:
    return (files.folder, *_inside(files.folder), files.settings)


def _inside(folder: Path) -> list[Path]:
    if not os.access(folder, os.R_OK | os.X_OK):
        return []
    try:
        return sorted(folder.iterdir())
    except OSError:  # no descriptor is left, say: the disk's finding has the reason
        return []


def _forbidden(files: Files, path: Path) -> int:
    """The bits that others must not have. A configuration file may be read, unless it holds a password."""
    if path != files.settings:
        return 0o077
    try:
        return 0o077 if config.holds_password(path) else 0o022
    except UsageError:  # which is told by itself
        return 0o022


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:
        return None


def _uid(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _written_s(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _write(folder: Path) -> float:
    """Seconds that a small file takes to be on the disk. It is removed."""
    path = folder / f".doctor-{os.getpid()}"
    began = time.monotonic()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, bytes(_PROBE_BYTES)) < _PROBE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
        return time.monotonic() - began
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _ms(seconds: float) -> int:
    return max(round(seconds * 1000), 1)


def _day(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(unix_s))
