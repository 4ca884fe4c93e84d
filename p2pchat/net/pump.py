"""Stream ↔ frames: ``u32(length) ‖ frame`` cut from and joined into what a stream carries (PROTOCOL.md 5.1).

Rules:

- A length that is refused is refused before its frame is buffered; after that the stream cannot be read further.
- A stream may end between two frames only.
- Batching: all frames that have arrived are handed over together, and all that are ready leave in one write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError
from p2pchat.core import framing
from p2pchat.net.transport import Stream


class FrameReader:
    """Reads the frames of one stream.

    Args:
        stream: nobody else reads it.
        max_frame_bytes: the largest frame, without its length.
        hold: called before anything is read, with what has come of a frame, in bytes; more is read once it returns.

    Concurrency: one reader at a time; a cancelled read loses nothing.
    """

    def __init__(
        self, stream: Stream, max_frame_bytes: int, hold: Callable[[int], Awaitable[None]] | None = None
    ) -> None:
        self._stream = stream
        self._frames = framing.FrameReader(max_frame_bytes)
        self._hold = hold

    @property
    def unfinished(self) -> int:
        """What has come of a frame that is not complete, in bytes, once all that are were handed over."""
        return self._frames.held

    async def read(self) -> bytes | None:
        """The next frame, or None at the clean end.

        Raises:
            DecodeError: a refused length, or the end within a frame.
            NetError: the stream was reset or its connection lost.
        """
        while (frame := self._frames.next_frame()) is None:
            if not await self._feed():
                return None
        return frame

    async def read_available(self) -> list[bytes]:
        """All frames that have arrived, waiting for the first; empty at the clean end.

        Raises:
            DecodeError: as :meth:`read`; complete frames before a refused length are handed over first.
            NetError: the stream was reset or its connection lost.
        """
        first = await self.read()
        frames = [] if first is None else [first]
        while frames:
            try:
                frame = self._frames.next_frame()
            except DecodeError:
                break  # of the next call, which meets the same length again
            if frame is None:
                break
            frames.append(frame)
        return frames

    async def _feed(self) -> bool:
        if self._hold is not None:
            await self._hold(self._frames.held)
        data = await self._stream.read(limits.STREAM_READ_BYTES)
        if data:
            self._frames.feed(data)
        elif not self._frames.is_empty:
            raise DecodeError("A stream ended within a frame.")
        return bool(data)


async def write_frames(stream: Stream, frames: Iterable[bytes]) -> None:
    """Write frames, each with its length before it, all in one write.

    Raises:
        NetError: see :meth:`p2pchat.net.transport.Stream.write`.
    """
    data = b"".join(map(framing.with_length, frames))
    if data:
        await stream.write(data)
