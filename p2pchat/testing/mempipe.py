"""The streams of the memory network: two pipes with a window, in which bytes take time.

What a writer hands over becomes readable in order, each write after a delay of its own, and so do the end and a reset:
what was written before is read before. A stalled connection delivers nothing until it is healed, a broken one raises
NetError on both ends at once and loses what was on its way.

The window is Yamux's: what was read is granted again, once half of it is due, at the beginning of the next ``read``.
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
_RESET: Final = "The stream was reset."


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
        self._ungranted_bytes = 0
        self._last_at = 0.0
        self._end_at: float | None = None
        self._reset_at: float | None = None
        self._broken: str | None = None
        self._reader = Alarm()
        self._room: trio.Event | None = None
        self._is_read = self._is_written = True

    def changed(self) -> None:
        """Wake the reader and the writer to look again."""
        self._reader.ring()
        self._wake_writer()

    def _wake_writer(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is under way."""
        over_at = self._end_at if self._reset_at is None else self._reset_at
        return self._broken is not None or (over_at is not None and over_at <= trio.current_time())

    @property
    def has_ended(self) -> bool:
        """Whether the writer has said that nothing follows."""
        return self._end_at is not None

    @property
    def is_broken(self) -> bool:
        """Whether nothing more comes, or is taken: it was broken off, or a reset has come."""
        return self._broken is not None or self._has_come(self._reset_at)

    def break_off(self, why: str) -> None:
        """From now on reads and writes raise NetError."""
        self._broken = self._broken or why
        self._chunks.clear()
        self.changed()

    def end(self) -> None:
        """Nothing follows what has been written."""
        if self._end_at is None:
            self._end_at = self.arrival()
            self.changed()

    def reset(self, at: float) -> None:
        """The stream is reset, which its other end learns ``at``."""
        if self._reset_at is None:
            self._reset_at = at
            self.changed()

    def leave_reading(self) -> None:
        """The reader has reset the stream: it reads nothing more, whatever comes."""
        self._is_read = False
        self.changed()

    def leave_writing(self) -> None:
        """The writer has."""
        self._is_written = False
        self.changed()

    async def read(self, max_bytes: int) -> bytes:
        """Up to ``max_bytes`` of one write; ``b""`` at the end."""
        if self._ungranted_bytes >= WINDOW_BYTES // 2:
            self._held_bytes -= self._ungranted_bytes
            self._ungranted_bytes = 0
            self._wake_writer()
        while True:
            if self._broken is not None:
                raise NetError(self._broken)
            if not self._is_read:
                raise NetError(_RESET)
            if self._chunks:
                at = self._chunks[0][0]
                if self._has_come(at):
                    return self._take(max_bytes)
            elif self._has_come(self._reset_at):
                raise NetError(_RESET)
            elif self._has_come(self._end_at):
                return b""
            else:
                at = _sooner(self._reset_at, self._end_at)
            await self._reader.wait(math.inf if self._wire.is_stalled else at)

    async def write(self, data: bytes) -> int:
        """Wait for the window, then put what fits into it of ``data`` on its way; how much that is."""
        self._check()
        if self._held_bytes >= WINDOW_BYTES:
            gives_up_at = trio.current_time() + limits.WRITE_STALL_S
            while self._held_bytes >= WINDOW_BYTES:
                if trio.current_time() >= gives_up_at:
                    raise Stalled("The peer has read nothing for too long.")
                reset_at = math.inf if self._reset_at is None or self._wire.is_stalled else self._reset_at
                await self._until_there_is_room(min(gives_up_at, reset_at))
                self._check()
        self._wire.wrote()
        self._check()
        part = data[: min(WINDOW_BYTES - self._held_bytes, limits.STREAM_READ_BYTES)]
        at = self.arrival()
        self._chunks.append((at, part))
        self._held_bytes += len(part)
        if len(self._chunks) == 1 and not self._wire.is_stalled:  # else the reader knows when to look
            self._reader.set(at)
        return len(part)

    def arrival(self) -> float:
        """When what is written now has come: after what was written before."""
        self._last_at = max(self._last_at, trio.current_time() + self._wire.delay_s())
        return self._last_at

    def _check(self) -> None:
        if self._broken is not None:
            raise NetError(self._broken)
        if not self._is_written or self._has_come(self._reset_at):
            raise NetError(_RESET)
        if self._end_at is not None:
            raise NetError("The stream is closed.")

    def _has_come(self, at: float | None) -> bool:
        return at is not None and at <= trio.current_time() and not self._wire.is_stalled

    async def _until_there_is_room(self, at: float) -> None:
        if self._room is None:
            self._room = trio.Event()
        with trio.move_on_at(at):
            await self._room.wait()

    def _take(self, max_bytes: int) -> bytes:
        at, chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft((at, chunk[max_bytes:]))
        data = chunk[:max_bytes]
        self._ungranted_bytes += len(data)
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
        self._sending = trio.Lock()
        self._is_torn = False
        self._is_reset = False  # by this end, which knows it before the other

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
        return self._is_reset or self._incoming.is_broken

    async def read(self, max_bytes: int) -> bytes:
        """See :class:`p2pchat.net.transport.Stream`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self._incoming.read(max_bytes)

    async def write(self, data: bytes) -> None:
        """See :class:`p2pchat.net.transport.Stream`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._sending.acquire_nowait()
        except trio.WouldBlock:
            await self._sending.acquire()
        sent = 0
        try:
            while sent < len(data):
                if self._is_torn:
                    raise NetError("A write was cut off on this stream.")
                sent += await self._outgoing.write(data[sent:])
        except trio.Cancelled:
            self._is_torn = sent > 0
            raise
        except Stalled:
            await self.reset()
            raise
        finally:
            self._sending.release()

    async def close(self) -> None:
        """See :class:`p2pchat.net.transport.Stream`: after a write that is under way, or else it is a reset."""
        if self.is_lost:
            return
        if self._sending.locked():
            with trio.move_on_after(limits.CLOSE_S, shield=True):
                async with self._sending:
                    self._outgoing.end()
                return
            await self.reset()
            return
        self._outgoing.end()

    async def reset(self) -> None:
        """See :class:`p2pchat.net.transport.Stream`: this end knows at once, the other when it is told."""
        if self._is_reset:
            return
        self._is_reset = True
        if not (self._incoming.has_ended and self._outgoing.has_ended):
            at = self._outgoing.arrival()
            for pipe in (self._incoming, self._outgoing):
                pipe.reset(at)
        self._incoming.leave_reading()
        self._outgoing.leave_writing()

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


def _sooner(*times: float | None) -> float:
    return min((at for at in times if at is not None), default=math.inf)
