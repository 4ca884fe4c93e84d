"""The socket in the file system: who may have it, and what happens to one that was left behind.

Rules:

- Its directory belongs to this user alone (0700), the socket is 0600.
- Where something answers at the path, or might, a daemon is running. Where the kernel refuses, the socket is stale
  and is replaced. Anything that is no socket is left alone.
- Looking and replacing happen under a lock on the directory, so that of two daemons that start at once one wins.
- At the end the file is removed only if it is still this daemon's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from p2pchat.api.paths import checked_socket, private_directory
from p2pchat.base.errors import StoreError, UsageError

_BACKLOG: Final = 4_096  # where it is full a client gives up: some thousands may come while the loop is busy


def claim(path: Path) -> socket.socket:
    """A listening socket at ``path``.

    Raises:
        UsageError: ALREADY_RUNNING; FORBIDDEN for a directory that is not private; INVALID_PARAMS for a path that is
            too long or holds something else.
        StoreError: the directory or the socket cannot be made.
    """
    directory = private_directory(checked_socket(path).parent)
    with _locked(directory):
        _clear(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listener.fileno(), 0o600)  # which the file gets with its name: chmod would come after it
            listener.bind(os.fspath(path))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise StoreError(f"The control socket cannot be made: {error.strerror}.") from error
        return listener


def inode(path: Path) -> int | None:
    """What tells this daemon's socket file from another's; None where there is none."""
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def release(path: Path, own_inode: int | None) -> None:
    """Remove the socket file, unless another daemon has put its own there."""
    if own_inode is not None and inode(path) == own_inode:
        path.unlink(missing_ok=True)


def remove_stale(path: Path) -> bool:
    """Remove a socket that was left behind; whether there was one.

    Raises:
        OSError: the system refuses.
    """
    try:
        with _locked(path.parent):
            if not stat.S_ISSOCK(path.lstat().st_mode) or _answers(path):
                return False
            path.unlink()
            return True
    except FileNotFoundError:
        return False


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError("socket: something that is no socket lies at its path.", data={"param": "socket"})
    if _answers(path):
        raise UsageError("A daemon is already running for this profile.", name="ALREADY_RUNNING")
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a daemon that hangs has a full backlog: that is an answer too
        result = probe.connect_ex(os.fspath(path))
    return result not in (errno.ECONNREFUSED, errno.ENOENT)
