"""A stream over Yamux that keeps the contract of :class:`p2pchat.net.transport.Stream`.

It reads from the muxer's buffer and writes its frames itself. NetStream and YamuxStream are not used for that, because
in libp2p 0.8.1

- a ``read`` that is cancelled while it sends its window update loses the bytes it has taken (guard 20),
- a reset and a lost connection often look like the clean end (guard 3),
- every ``read`` sends a window update, a write takes four locks, each a reschedule (guard 17).

Flow control: a window of 256 KiB a stream; what was read is granted again in one update when half of it is due, at the
beginning of the next ``read``. A stream that nobody reads therefore holds at most its window.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, cast

import libp2p.stream_muxer.yamux.yamux as yamux
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, Stalled
from p2pchat.base.ids import PeerId
from p2pchat.net.guard import GuardedYamux, WindowedStream
from p2pchat.net.secured import LeanSession
from p2pchat.net.transport import Stream

_HEADER: Final = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
_GRANT_BYTES: Final = yamux.DEFAULT_WINDOW_SIZE // 2
# A Yamux frame of this payload fills one Noise message; upstream's 64 KiB makes a second one of 17 bytes.
_PAYLOAD_BYTES: Final = 65_535 - 16 - yamux.HEADER_SIZE


@contextmanager
def library_errors(message: str) -> Iterator[None]:
    """Turn whatever the library raises into a :class:`NetError`; its text, which names peers, is dropped."""
    try:
        yield
    except NetError:
        raise
    except Exception:  # translated, not hidden: the contract knows one exception
        raise NetError(message) from None


class MuxStream(Stream):
    """One stream of one connection.

    Concurrency: one reader at a time; writers queue. A ``write`` cancelled after its first bytes leaves half a message
    behind, so later writes fail: reset the stream. A cancelled ``read`` loses nothing.
    """

    def __init__(self, mux: GuardedYamux, stream: WindowedStream, peer: PeerId) -> None:
        self._mux = mux
        self._stream = stream
        self._peer = peer
        self._sending = trio.Lock()
        self._torn = False
        self._ungranted = 0
        self._change = trio.Event()

    def __repr__(self) -> str:
        return f"MuxStream({self._peer})"

    @property
    def peer(self) -> PeerId:
        """Whom the handshake has authenticated."""
        return self._peer

    @property
    def remote_host(self) -> str | None:
        """The IP literal at the other end of the connection; None when it is relayed."""
        return None if self.remote is None else self.remote[0]

    @property
    def relay(self) -> bytes | None:
        """See :class:`~p2pchat.net.transport.Stream`."""
        return cast(LeanSession, self._mux.secured_conn).relay

    @property
    def remote(self) -> tuple[str, int] | None:
        """IP literal and port at the other end of the connection; None if it is relayed."""
        return self._mux.get_remote_address()

    @property
    def is_lost(self) -> bool:
        """See :class:`~p2pchat.net.transport.Stream`."""
        return self._mux.lost or self._stream.reset_received

    def adopt(self) -> None:
        """See :class:`~p2pchat.net.transport.Stream`."""
        super().adopt()
        self._mux.adopted(self._stream)

    def keep(self) -> None:
        """See :class:`~p2pchat.net.transport.Stream`."""
        super().keep()
        self._mux.is_kept = True

    async def read(self, max_bytes: int) -> bytes:
        """See :class:`~p2pchat.net.transport.Stream`."""
        if self._ungranted >= _GRANT_BYTES:
            await self._grant()
        while True:
            buffer = self._mux.stream_buffers.get(self._stream.stream_id)
            if buffer:
                return self._take(buffer, max_bytes)
            if self._stream.reset_received:
                raise NetError("The stream was reset or its connection lost.")
            if self._stream.recv_closed:
                return b""
            if buffer is None or self._mux.lost:
                raise NetError("The connection is lost.")
            self._change = self._mux.stream_events[self._stream.stream_id] = trio.Event()
            await self._change.wait()

    async def write(self, data: bytes) -> None:
        """See :class:`~p2pchat.net.transport.Stream`."""
        async with self._sending:
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[await self._write_some(rest) :]
            except trio.Cancelled:
                self._torn = len(rest) < len(data)
                raise

    async def close(self) -> None:
        """End the sending side, after a write that is under way; reset if that takes longer than ``limits.CLOSE_S``."""
        if self._stream.reset_received:
            return
        with trio.move_on_after(limits.CLOSE_S) as scope:
            scope.shield = True
            async with self._sending:
                try:
                    await self._stream.close()
                except Exception:  # the connection is gone, and with it the stream: nothing to close
                    self._mark_reset()
        if scope.cancelled_caught:
            await self.reset()  # which the peer is told: it would wait for the rest for ever

    async def reset(self) -> None:
        """Abandon both directions; who reads or writes gets :class:`NetError`."""
        # Suppressed: that the connection is gone, and with it the stream, so that there is nothing to reset.
        with trio.move_on_after(limits.CLOSE_S) as scope, suppress(Exception):
            scope.shield = True
            await self._stream.reset()
        self._mark_reset()

    def _take(self, buffer: bytearray, max_bytes: int) -> bytes:
        data = bytes(buffer[:max_bytes])
        del buffer[:max_bytes]
        self._ungranted += len(data)
        if self._stream.closed and not buffer:
            self._forget()
        return data

    async def _grant(self) -> None:
        # Counted as granted only when it is sent: a peer granted twice by a cancellation may send more, one never
        # granted stalls for ever.
        count = self._ungranted
        with library_errors("The connection is lost."):
            await self._stream.send_window_update(count)
        self._stream.recv_window += count
        self._ungranted -= count

    async def _reserve(self, wanted: int) -> int:
        """Take up to ``wanted`` bytes of the window, waiting for one."""
        self._check_writable()
        if self._stream.send_window <= 0:
            with trio.move_on_after(limits.WRITE_STALL_S) as scope:
                await self._stream.window_open()
            if scope.cancelled_caught:
                await self.reset()
                raise Stalled("The peer has read nothing for too long.")
            self._check_writable()
        count = min(wanted, self._stream.send_window, _PAYLOAD_BYTES)
        self._stream.send_window -= count
        return count

    async def _write_some(self, data: memoryview) -> int:
        count = await self._reserve(len(data))
        header = _HEADER.pack(0, yamux.TYPE_DATA, 0, self._stream.stream_id, count)
        try:
            with library_errors("The connection is lost."):
                await self._mux._write_frame(b"".join((header, data[:count])))
        except trio.Cancelled:
            self._stream.send_window += count  # nothing of the frame was sent
            raise
        return count

    def _check_writable(self) -> None:
        if self._torn:
            raise NetError("A write was cut off on this stream.")
        if self._stream.send_closed or self._stream.closed or self._stream.reset_received or self._mux.lost:
            raise NetError("The stream is closed, was reset or its connection lost.")

    def _mark_reset(self) -> None:
        stream = self._stream
        stream.send_closed = stream.recv_closed = stream.reset_received = stream.closed = True
        self._forget()

    def _forget(self) -> None:
        """Drop the muxer's bookkeeping and wake the reader, which upstream's reset leaves waiting."""
        self._mux.stream_buffers.pop(self._stream.stream_id, None)
        # Its lock orders tasks between awaits; there is none in here.
        self._mux._finalize_stream_locked(self._stream, fully_closed=True)
        self._change.set()
