"""What goes to one client: a bounded buffer and the one task that writes it.

Rules:

- Frames are written in the order in which they were put, many with one system call.
- While more than ``HIGH_WATER_BYTES`` wait, whoever puts waits too: the buffer is what the client has not read.
- What waits so, and what is being made, is *owed*. Nothing more is begun that would bring what is owed and what waits
  beyond ``CONTROL_REPLIES_BYTES``, unless it is the only thing.
- A client that leaves the kernel's buffer full for ``STALL_S``, or that is gone, is *lost*: from then on frames are
  dropped, since nobody is left to read them, and ``on_lost`` is called once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from p2pchat.base.limits import CONTROL_REPLIES_BYTES

HIGH_WATER_BYTES: Final = 1 << 20
STALL_S: Final = 30.0


class Sink(Protocol):
    """The sending half of a socket."""

    def send(self, data: memoryview, /) -> Awaitable[int]:
        """Send some of ``data``; how many bytes were taken."""
        ...


class Outgoing:
    """The frames that wait for one client.

    Args:
        sink: where they go.
        on_lost: called once when the client is lost.
    """

    def __init__(self, sink: Sink, on_lost: Callable[[], None]) -> None:
        self._sink = sink
        self._on_lost = on_lost
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self._owed_bytes = 0
        self._lost = False
        self._eased = trio.Event()
        self._filled = trio.Event()
        self._written = trio.Event()
        self._written_s = trio.current_time()

    @property
    def empty_since(self) -> float | None:
        """Since when nothing waits, on trio's clock; None while something does."""
        return None if self._waiting_bytes else self._written_s

    def owe(self, size: int) -> None:
        """So many bytes more are being made; less than none: they are not any more."""
        self._owed_bytes += size
        if size < 0:
            self._eased.set()

    def has_room(self, size: int, beside: int = 0) -> bool:
        """Whether so many bytes more may be made.

        Args:
            beside: bytes of what is owed that are not looked at: they leave with these.
        """
        total = self._waiting_bytes + self._owed_bytes - beside
        return total + size <= CONTROL_REPLIES_BYTES or total <= 0 or self._lost

    async def room(self, size: int, beside: int = 0) -> None:
        """Wait until :meth:`has_room`."""
        while not self.has_room(size, beside):
            self._eased = trio.Event()
            await self._eased.wait()

    async def put(self, frame: bytes) -> None:
        """Add a frame; returns at once while there is room.

        Concurrency: cancelled while it waits for room, the frame is not added.
        """
        if self._waiting_bytes > HIGH_WATER_BYTES and not self._lost:
            self.owe(len(frame))
            try:
                while self._waiting_bytes > HIGH_WATER_BYTES and not self._lost:
                    await self._written.wait()
            finally:
                self.owe(-len(frame))
        if not self._lost:
            self._frames.append(frame)
            self._waiting_bytes += len(frame)
            self._filled.set()

    async def flush(self) -> None:
        """Wait until the kernel has taken everything, or the client is lost."""
        while self._waiting_bytes and not self._lost:
            await self._written.wait()

    async def run(self) -> None:
        """Write until cancelled or until the client is lost."""
        try:
            while True:
                await self._filled.wait()
                self._filled = trio.Event()
                frames, self._frames = self._frames, []
                await self._write(b"".join(frames))
                self._written_s = trio.current_time()
        except (OSError, trio.TooSlowError):
            # a client that is gone or stuck is not an error of the node: its connection ends, and that is all
            self._lost = True
            self._frames.clear()
            self._on_lost()
        finally:
            self._written.set()
            self._eased.set()

    async def _write(self, data: bytes) -> None:
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                with trio.fail_after(STALL_S):
                    sent = await self._sink.send(view[done:])
                done += sent
                self._waiting_bytes -= sent
                self._written.set()
                self._written = trio.Event()
                self._eased.set()
