"""The control socket: accepts clients of this user and serves each one's connection.

Rules:

- The kernel says who a client is (SO_PEERCRED). Another user's is closed without a reply; root's is served.
- So many are served at once as there are places (:mod:`p2pchat.control.places`): whoever wants nothing makes room for
  whoever comes. Who has to go, or finds no room, is told RATE_LIMITED and closed.
- Nothing that happens on one connection ends another, or the server.

Source: docs/CONTROL-API.md, "Transport".
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from p2pchat.api.codec import JSON_LINES
from p2pchat.base import limits
from p2pchat.control import jsonrpc
from p2pchat.control.channel import Channel, Connection, Dispatch, Joint
from p2pchat.control.places import Places, Unfinished
from p2pchat.control.socket_file import claim, inode, release
from p2pchat.services.defects import report_defect

__all__ = ["Connection", "Dispatch", "Server"]

DRAIN_S: Final = 2.0

_CREDENTIALS: Final = struct.Struct("3i")


class Server:
    """Serves the control API on a Unix socket.

    Args:
        dispatch: carries out one request.
        joint: carries out several, where it can.
        path: where the socket lies.
        given: the socket that listens there already, and stays when this ends: systemd's.
        places: how many clients are served at once.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        *,
        path: Path,
        joint: Joint | None = None,
        given: socket.socket | None = None,
        places: int = limits.CONTROL_CONNECTIONS,
    ) -> None:
        self._dispatch = dispatch
        self._joint = joint
        self._path = path
        self._given = given
        self._channels: set[Channel] = set()
        self._places = Places(places)
        self._unfinished = Unfinished()
        self._accepting = trio.CancelScope()
        self._emptied = trio.Event()
        self._withdraw: Callable[[], None] = _nothing

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started as soon as clients can connect.

        Raises:
            UsageError: ALREADY_RUNNING, FORBIDDEN or INVALID_PARAMS, before anything is served.
            StoreError: the socket cannot be made.
        """
        own = claim(self._path) if self._given is None else self._given
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(own))
        self._withdraw = partial(_withdraw, listener, self._path, inode(self._path) if self._given is None else None)
        async with trio.open_nursery() as clients:
            try:
                task_status.started()
                with self._accepting:
                    await trio.serve_listeners(self._serve_client, [listener], handler_nursery=clients)
            finally:
                self._take_away()

    async def drain(self) -> None:
        """Take the socket away, accept and read nothing more; returns when every reply is out, or after ``DRAIN_S``."""
        self._accepting.cancel()
        self._take_away()
        for channel in self._channels:
            channel.finish()
        with trio.move_on_after(DRAIN_S):
            while self._channels:
                await self._emptied.wait()

    def _take_away(self) -> None:
        """Once: the number of a removed file may soon be another daemon's."""
        withdraw, self._withdraw = self._withdraw, _nothing
        withdraw()

    async def _serve_client(self, stream: trio.SocketStream) -> None:
        try:
            if _uid_of(stream.socket) in (os.geteuid(), 0):
                await self._serve_own(stream)
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve_own(self, stream: trio.SocketStream) -> None:
        channel = Channel(stream, self._dispatch, self._joint, self._unfinished)
        if not await self._places.take(channel, trio.current_time()):
            why = f"At most {self._places.most} connections are served at once, and all of them are busy."
            with trio.move_on_after(DRAIN_S):
                await stream.send_all(JSON_LINES.frame(JSON_LINES.encode(jsonrpc.error(None, "RATE_LIMITED", why))))
            return
        self._channels.add(channel)
        try:
            await channel.run()
        except Exception as error:  # a defect in one connection must not end the daemon
            report_defect(error)
        finally:
            self._places.leave(channel)
            self._channels.discard(channel)
            if not self._channels:
                self._emptied.set()
                self._emptied = trio.Event()


def _withdraw(listener: trio.SocketListener, path: Path, own_inode: int | None) -> None:
    """Whoever connects from now on is told at once that there is no daemon."""
    listener.socket.close()
    release(path, own_inode)


def _nothing() -> None:
    """There is no socket."""


def _uid_of(accepted: trio.socket.SocketType) -> int:
    raw = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    assert isinstance(raw, bytes)  # noqa: S101  a buffer was asked for
    _pid, uid, _gid = _CREDENTIALS.unpack(raw)
    return int(uid)
