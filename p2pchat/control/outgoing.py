"""What goes to one client: a bounded buffer and the one task that writes it.

Rules:

- Frames are written in the order in which they were put, many with one system call.
- While more than ``HIGH_WATER_BYTES`` wait, whoever puts waits too: the buffer is what the client has not read.
- A client that leaves the kernel's buffer full for ``STALL_S``, or that is gone, is *lost*: from then on frames are
  dropped, since nobody is left to read them, and ``on_lost`` is called once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

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
        self._lost = False
        self._filled = trio.Event()
        self._written = trio.Event()
        self._written_s = trio.current_time()

    @property
    def empty_since(self) -> float | None:
        """Since when nothing waits, on trio's clock; None while something does."""
        return None if self._waiting_bytes else self._written_s

    async def put(self, frame: bytes) -> None:
        """Add a frame; returns at once while there is room.

        Concurrency: cancelled while it waits for room, the frame is not added.
        """
        while self._waiting_bytes > HIGH_WATER_BYTES and not self._lost:
            await self._written.wait()
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
