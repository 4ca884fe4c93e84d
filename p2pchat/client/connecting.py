"""The way to the daemon's socket: the one place in the clients that opens it."""

from __future__ import annotations

import os
import select
import socket

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.client.protocol import LOST
from p2pchat.client.whose import refuse_others

SocketPath = str | os.PathLike[str]


def path_of(socket_path: SocketPath | None, profile: str | None) -> str:
    """``socket_path``, or that of ``profile``, or that of the default profile.

    Raises:
        UsageError: there is no such profile name, or the path is too long.
    """
    if socket_path is not None:
        return os.fspath(socket_path)
    from p2pchat.api.paths import DEFAULT_PROFILE, ProfilePaths  # a third of the time that this package takes to load

    return os.fspath(ProfilePaths(profile or DEFAULT_PROFILE).socket)


def connected(path: str) -> socket.socket:
    """A connection that does not block.

    Raises:
        NoDaemon: nothing answers there.
        ApiError: FORBIDDEN, the socket is another user's.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)  # a daemon that hangs must not hang its callers: a full backlog is an error
    try:
        connection.connect(path)
        refuse_others(connection)
    except ApiError:
        connection.close()
        raise
    except PermissionError:
        connection.close()
        raise ApiError("FORBIDDEN", "The daemon's socket belongs to another user.") from None
    except OSError:
        connection.close()
        raise NoDaemon("No daemon answers on the socket; start one with: p2pchat daemon") from None
    return connection


def send_now(connection: socket.socket, data: bytes) -> int:
    """How many bytes of ``data`` could be sent without waiting.

    Raises:
        NoDaemon: the other end has closed it.
    """
    try:
        return connection.send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0
    except OSError:
        raise NoDaemon(LOST) from None


def is_over(connection: socket.socket) -> bool:
    """Whether the other end has closed it. What waits to be read is no end."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
