"""The client of the control socket for asyncio. The same calls and events as :mod:`p2pchat.client.blocking`:

    async with AsyncioClient() as client:
        await client.call("message.send", to="Bob", text="Hello", idempotency_key="greeting-1")
        async for event in client.events(consumer="bot", types=["message.received"]):
            print(event["data"])

Any number of tasks may call at once: replies come as they are ready.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from p2pchat.api.errors import NoDaemon
from p2pchat.client.awaited import AwaitedClient
from p2pchat.client.connecting import SocketPath, connected, is_over, path_of, send_now
from p2pchat.client.link import READ_BYTES
from p2pchat.client.protocol import LOST


class AsyncioClient(AwaitedClient):
    """One client of a daemon; see :class:`p2pchat.client.awaited.AwaitedClient`.

    Args:
        socket_path: the daemon's socket; that of the profile where omitted.
        profile: as ``p2pchat --profile`` names it; the default one where omitted.
    """

    def __init__(self, socket_path: SocketPath | None = None, *, profile: str | None = None) -> None:
        super().__init__(_Asyncio(path_of(socket_path, profile)))


class _Asyncio:
    """The runtime of asyncio."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._streams: set[_AsyncioStream] = set()
        self._end = asyncio.Event()
        self.ended = False

    def connect(self) -> _AsyncioStream:
        stream = _AsyncioStream(self._path, self._streams.discard)
        self._streams.add(stream)
        return stream

    def waker(self) -> asyncio.Event:
        return asyncio.Event()

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end.wait()

    def end(self) -> None:
        self.ended = True
        self._end.set()
        for stream in list(self._streams):
            stream.close()  # who waits on it is told


class _AsyncioStream:
    """The stream of asyncio; the loop's own calls would leave who waits on a socket that is closed waiting.

    Args:
        closed: told when it is.
    """

    def __init__(self, path: str, closed: Callable[[_AsyncioStream], object]) -> None:
        self._socket = connected(path)
        self._number = self._socket.fileno()
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[None], Callable[[int], bool]] = {}
        self._closed = closed
        self._has_waited = True

    async def send(self, data: bytes) -> int:
        while True:
            try:
                return self._socket.send(data)
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
            except OSError:
                raise NoDaemon(LOST) from None

    def send_now(self, data: bytes) -> int:
        return send_now(self._socket, data)

    async def receive(self, *, due: bool) -> bytes:  # noqa: ARG002  who waits too long is cancelled
        if not self._has_waited:  # whoever sends without end must not keep other tasks, and deadlines, waiting
            await asyncio.sleep(0)
        self._has_waited = False
        while True:
            try:
                return self._socket.recv(READ_BYTES)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
                self._has_waited = True
            except OSError:
                raise NoDaemon(LOST) from None

    def is_over(self) -> bool:
        return is_over(self._socket)

    def interrupt(self) -> None:
        with suppress(OSError):  # the daemon was the first to end it
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for future, forget in self._waiting.items():
            forget(self._number)
            if not future.done():
                future.set_exception(NoDaemon(LOST))
        self._waiting.clear()
        self._socket.close()
        self._closed(self)

    async def _ready(self, watch: Callable[..., object], forget: Callable[[int], bool]) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting[future] = forget
        watch(self._number, _settle, future)
        try:
            await future
        finally:
            if self._waiting.pop(future, None) is not None:  # else it is closed, and the number another one's
                forget(self._number)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
