"""The streams of the memory network: two pipes with a window, in which bytes take time.

What a writer hands over becomes readable in order, each write after a delay of its own; a stalled connection delivers
nothing until it is healed, a broken one raises NetError on both ends at once and loses what was on its way.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, Stalled
from p2pchat.base.ids import PeerId
from p2pchat.net.transport import Stream
from p2pchat.testing.clock import Alarm

WINDOW_BYTES: Final = 256 * 1024  # as Yamux's


class Wire(Protocol):
    """What a pipe asks of its connection."""

    @property
    def is_stalled(self) -> bool:
        """Whether nothing is delivered at present."""
        ...

    def delay_s(self) -> float:
        """How long the next write is under way."""
        ...

    def wrote(self) -> None:
        """Told of each write before it counts; may break the connection."""
        ...


class Pipe:
    """One direction of a stream."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._last_at = 0.0
        self._end_at: float | None = None
        self._broken: str | None = None
        self._reader = Alarm()
        self._is_awaited = False
        self._room = trio.Event()

    def changed(self) -> None:
        """Wake the reader and the writer to look again."""
        self._reader.ring()
        self._make_room()

    def _make_room(self) -> None:
        if self._is_awaited:
            self._is_awaited = False
            self._room.set()
            self._room = trio.Event()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be written."""
        return self._broken is not None or self._end_at is not None

    @property
    def is_broken(self) -> bool:
        """Whether nothing is read or written any more."""
        return self._broken is not None

    def break_off(self, why: str) -> None:
        """From now on reads and writes raise NetError."""
        self._broken = self._broken or why
        self._chunks.clear()
        self.changed()

    def end(self) -> None:
        """Nothing follows what has been written."""
        if self._end_at is None:
            self._end_at = self._arrival()
            self.changed()

    async def read(self, max_bytes: int) -> bytes:
        """Up to ``max_bytes`` of one write; ``b""`` at the end."""
        while True:
            self._check()
            at = self._chunks[0][0] if self._chunks else self._end_at
            ready = at is not None and at <= trio.current_time() and not self._wire.is_stalled
            if ready and self._chunks:
                return self._take(max_bytes)
            if ready:
                return b""
            await self._reader.wait(math.inf if at is None or self._wire.is_stalled else at)

    async def write(self, data: bytes) -> None:
        """Wait for the window, then put ``data`` on its way."""
        if self._held_bytes >= WINDOW_BYTES and self._broken is None:
            await self._until_there_is_room()
        self._check()
        if self._end_at is not None:
            raise NetError("The stream is closed.")
        self._wire.wrote()
        self._check()
        at = self._arrival()
        self._chunks.append((at, data))
        self._held_bytes += len(data)
        if len(self._chunks) == 1 and not self._wire.is_stalled:  # else the reader knows when to look
            self._reader.set(at)

    async def _until_there_is_room(self) -> None:
        with trio.move_on_after(limits.WRITE_STALL_S) as scope:
            while self._held_bytes >= WINDOW_BYTES and self._broken is None:
                self._is_awaited = True
                await self._room.wait()
        if scope.cancelled_caught:
            raise Stalled("The peer has read nothing for too long.")

    def _check(self) -> None:
        if self._broken is not None:
            raise NetError(self._broken)

    def _arrival(self) -> float:
        self._last_at = max(self._last_at, trio.current_time() + self._wire.delay_s())
        return self._last_at

    def _take(self, max_bytes: int) -> bytes:
        at, chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft((at, chunk[max_bytes:]))
        data = chunk[:max_bytes]
        self._held_bytes -= len(data)
        self._make_room()
        return data


@dataclass(frozen=True, slots=True)
class Far:
    """An end of a stream as the other one sees it: ``host`` and ``relay`` as :class:`Stream` has them."""

    peer: PeerId
    host: str | None = field(repr=False)
    relay: bytes | None = field(repr=False)


class MemoryStream(Stream):
    """One end of a stream: reads from one pipe, writes into the other."""

    def __init__(self, wire: Wire, far: Far, incoming: Pipe, outgoing: Pipe) -> None:
        self.wire = wire
        self._far = far
        self._incoming = incoming
        self._outgoing = outgoing

    @property
    def peer(self) -> PeerId:
        """The other node."""
        return self._far.peer

    @property
    def remote_host(self) -> str | None:
        """The other node's IP literal; None through a relay."""
        return self._far.host

    @property
    def relay(self) -> bytes | None:
        """See :class:`p2pchat.net.transport.Stream`."""
        return self._far.relay

    @property
    def is_lost(self) -> bool:
        """See :class:`p2pchat.net.transport.Stream`."""
        return self._incoming.is_broken

    async def read(self, max_bytes: int) -> bytes:
        """See :class:`p2pchat.net.transport.Stream`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self._incoming.read(max_bytes)

    async def write(self, data: bytes) -> None:
        """See :class:`p2pchat.net.transport.Stream`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        for start in range(0, len(data), limits.STREAM_READ_BYTES):
            await self._outgoing.write(data[start : start + limits.STREAM_READ_BYTES])

    async def close(self) -> None:
        """See :class:`p2pchat.net.transport.Stream`."""
        self._outgoing.end()

    async def reset(self) -> None:
        """See :class:`p2pchat.net.transport.Stream`."""
        self.break_off("The stream was reset.")

    @property
    def is_over(self) -> bool:
        """Whether both directions have ended."""
        return self._incoming.is_over and self._outgoing.is_over

    def break_off(self, why: str) -> None:
        """End both directions; who reads or writes at either end gets :class:`NetError`."""
        for pipe in (self._incoming, self._outgoing):
            pipe.break_off(why)

    def look_again(self) -> None:
        """Wake who reads at either end: the connection delivers again."""
        for pipe in (self._incoming, self._outgoing):
            pipe.changed()


def pair(wire: Wire, opener: Far, acceptor: Far) -> tuple[MemoryStream, MemoryStream]:
    """A stream: the opener's end and the acceptor's."""
    there, back = Pipe(wire), Pipe(wire)
    return MemoryStream(wire, acceptor, back, there), MemoryStream(wire, opener, there, back)
