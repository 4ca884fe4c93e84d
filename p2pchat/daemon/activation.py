"""The control socket where systemd has made it: the service takes it over, and gives it back by ending.

Rules:

- What is not meant for this process (``LISTEN_PID``) is not touched. What is belongs to nobody else: the variables and
  the descriptors reach no child.
- Several descriptors are told apart by their names; the control socket's is ``control``.
- It listens, is a Unix stream socket, and is the one that clients of this profile look for; anything else is refused,
  for nobody would find the daemon.
- It stays systemd's: it is not made, not removed, and whoever connects while no daemon runs starts one.

Source: sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from p2pchat.api.paths import private_directory
from p2pchat.base.errors import UsageError

NAME: Final = "control"
_FIRST: Final = 3
_MOST: Final = 64
"""Descriptors that a unit may hand over, far beyond the one that it should; the number comes from the environment."""

_DIGITS: Final = 9
"""Of a number that is looked at."""

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def handed_over(path: Path, environ: MutableMapping[str, str] | None = None) -> socket.socket | None:
    """The listening socket that systemd has made for this process; None where it has made none.

    Args:
        path: where clients look for it.
        environ: the process's own where omitted; what speaks of sockets is taken out.

    Raises:
        UsageError: INVALID_PARAMS, what was handed over is not the control socket; FORBIDDEN, its directory is not
            private.
        StoreError: its directory is not there, and cannot be made.
    """
    environment = os.environ if environ is None else environ
    owner, count, names = (environment.pop(variable, "") for variable in _VARIABLES)
    if owner != str(os.getpid()) or not count.isdecimal() or len(count) > _DIGITS or not 0 < int(count) <= _MOST:
        return None
    descriptors = range(_FIRST, _FIRST + int(count))
    chosen = _chosen(descriptors, names.split(":"))
    for descriptor in descriptors:
        if descriptor != chosen:
            with suppress(OSError):
                os.close(descriptor)
    if chosen is None:
        raise _refused(f"has made {count} sockets, and none alone is named {NAME} (FileDescriptorName={NAME})")
    try:
        os.set_inheritable(chosen, False)
    except OSError:
        raise _refused("has handed over nothing: the descriptor is closed") from None
    return _checked(chosen, path)


def _chosen(descriptors: range, names: list[str]) -> int | None:
    if len(descriptors) == 1:
        return descriptors[0]
    named = [descriptor for descriptor, name in zip(descriptors, names, strict=False) if name == NAME]
    return named[0] if len(named) == 1 else None


def _checked(descriptor: int, path: Path) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise _refused("has handed over something that is no socket") from None
    try:
        private_directory(path.parent)
        if listener.family != socket.AF_UNIX or listener.type != socket.SOCK_STREAM:
            raise _refused("has made a socket that is no Unix stream socket (ListenStream=)")
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise _refused("has made a socket that does not listen (Accept=no)")
        if not _lies_at(listener, path):
            raise _refused(f"listens elsewhere than at {path}, where clients look (ListenStream=, or --socket)")
    except BaseException:
        listener.close()
        raise
    return listener


def _lies_at(listener: socket.socket, path: Path) -> bool:
    """Whether it is the one at ``path``; links may lead to the name under which it was bound."""
    name = listener.getsockname()
    if not isinstance(name, str) or not name:  # an abstract name is bytes
        return False
    try:
        return os.path.samefile(name, path)
    except OSError:
        return False


def _refused(what: str) -> UsageError:
    return UsageError(f"socket: systemd {what}.", data={"param": "socket"})
