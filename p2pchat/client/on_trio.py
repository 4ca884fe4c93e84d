"""The client of the control socket for trio. The same calls and events as :mod:`p2pchat.client.blocking`:

    async with TrioClient() as client:
        await client.call("message.send", to="Bob", text="Hello", idempotency_key="greeting-1")
        async for event in client.events(consumer="bot", types=["message.received"]):
            print(event["data"])

Any number of tasks may call at once: replies come as they are ready.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from p2pchat.api.errors import NoDaemon
from p2pchat.client.awaited import AwaitedClient
from p2pchat.client.connecting import SocketPath, connected, is_over, path_of, send_now
from p2pchat.client.link import READ_BYTES
from p2pchat.client.protocol import LOST


class TrioClient(AwaitedClient):
    """One client of a daemon; see :class:`p2pchat.client.awaited.AwaitedClient`.

    Args:
        socket_path: the daemon's socket; that of the profile where omitted.
        profile: as ``p2pchat --profile`` names it; the default one where omitted.
    """

    def __init__(self, socket_path: SocketPath | None = None, *, profile: str | None = None) -> None:
        super().__init__(_Trio(path_of(socket_path, profile)))


class _Trio:
    """The runtime of trio."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._streams: set[_TrioStream] = set()
        self._end = trio.Event()
        self.ended = False

    def connect(self) -> _TrioStream:
        stream = _TrioStream(self._path, self._streams.discard)
        self._streams.add(stream)
        return stream

    def waker(self) -> trio.Event:
        return trio.Event()

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()

    async def sleep(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._end.wait()

    def end(self) -> None:
        self.ended = True
        self._end.set()
        for stream in list(self._streams):
            stream.close()  # who waits on it is told


class _TrioStream:
    """The stream of trio. ``closed``: told when it is."""

    def __init__(self, path: str, closed: Callable[[_TrioStream], object]) -> None:
        self._plain = connected(path)
        self._socket = trio.socket.from_stdlib_socket(self._plain)
        self._closed = closed

    async def send(self, data: bytes) -> int:
        try:
            return await self._socket.send(data)
        except (OSError, trio.ClosedResourceError):
            raise NoDaemon(LOST) from None

    def send_now(self, data: bytes) -> int:
        return send_now(self._plain, data)

    async def receive(self, *, due: bool) -> bytes:  # noqa: ARG002  who waits too long is cancelled
        try:
            return await self._socket.recv(READ_BYTES)
        except (OSError, trio.ClosedResourceError):
            raise NoDaemon(LOST) from None

    def is_over(self) -> bool:
        return is_over(self._plain)

    def interrupt(self) -> None:
        with suppress(OSError):  # the daemon was the first to end it
            self._socket.shutdown(trio.socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
        self._closed(self)
