"""Frames in a byte stream: ``u32(length) ‖ frame``, in both directions (PROTOCOL.md 3.7, 5.1)."""

from __future__ import annotations

import struct
from typing import Final

from p2pchat.base.errors import DecodeError

_LENGTH: Final = struct.Struct(">I")


def with_length(frame: bytes) -> bytes:
    """The frame as it stands on a stream."""
    return _LENGTH.pack(len(frame)) + frame


class FrameReader:
    """Cuts what a stream delivers, in whatever pieces, into frames.

    It holds at most one incomplete frame beside what was fed last, and refuses an overlong one before it is buffered.

    Args:
        max_bytes: the largest frame, without its length.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether the stream stands at the end of a frame: only there may it end."""
        return not self._buffer

    @property
    def held(self) -> int:
        """Bytes that were fed, and are in no frame that was handed over."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what the stream delivered; call :meth:`next_frame` until it has no more before feeding again."""
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """The next complete frame, or None when more must be fed.

        Raises:
            DecodeError: a length of 0 or beyond ``max_bytes``; the stream cannot be read further.
        """
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not 1 <= length <= self._max_bytes:
            raise DecodeError("a frame has a length that is refused")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return frame
