"""The configuration file is replaced as a whole: a new file beside it, on the disk before it takes the place."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from p2pchat.base.errors import DiskFull, StoreError
from p2pchat.store.keyfile import sync_directory

_OWN: Final = 0o600
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def unfinished(path: Path) -> Path:
    """What is left beside ``path`` where :func:`write` is killed; the next one removes it."""
    return path.with_name(path.name + ".new")


def write(path: Path, content: bytes, *, private: bool = False) -> None:
    """Make ``content`` the file ``path``, whole or not at all. It keeps its rights; a new one is its owner's alone.
    A link stays one, and what it leads to is replaced. Blocking.

    Args:
        private: whether to take the rights away that others have.

    Raises:
        StoreError: the disk refused; what was there is there.
    """
    place = Path(os.path.realpath(path))
    new = unfinished(place)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        mode = place.stat().st_mode & 0o777 if place.exists() else _OWN
        try:
            _fill(new, content, mode & (0o700 if private else 0o777))
            new.rename(place)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        sync_directory(place.parent)
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull("The disk is full: the configuration file is what it was.") from error
        raise StoreError(f"The configuration file cannot be written: {error.strerror}.") from error


def _fill(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWN), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
