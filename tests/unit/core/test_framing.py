"""Frames come out as they went in, however the stream cuts them, and none is buffered beyond its bound."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.core.framing import FrameReader, with_length

FRAMES = [b"a", b"bc" * 100, b"\x00" * 256]
STREAM = b"".join(map(with_length, FRAMES))


def read_all(reader: FrameReader) -> list[bytes]:
    frames = []
    while (frame := reader.next_frame()) is not None:
        frames.append(frame)
    return frames


def test_with_length() -> None:
    assert with_length(b"abc") == b"\x00\x00\x00\x03abc"


@pytest.mark.parametrize("piece", [1, 3, 5, 200, len(STREAM)])
def test_any_pieces_yield_the_same_frames(piece: int) -> None:
    reader, frames = FrameReader(256), []
    for start in range(0, len(STREAM), piece):
        reader.feed(STREAM[start : start + piece])
        frames += read_all(reader)
    assert frames == FRAMES
    assert reader.is_empty


def test_an_unfinished_frame_is_seen() -> None:
    reader = FrameReader(256)
    reader.feed(STREAM[:-1])
    assert read_all(reader) == FRAMES[:-1]
    assert not reader.is_empty


@pytest.mark.parametrize("length", [0, 257, 2**32 - 1])
def test_a_length_beyond_the_bounds_is_refused_at_once(length: int) -> None:
    reader = FrameReader(256)
    reader.feed(with_length(b"x") + length.to_bytes(4, "big"))
    assert reader.next_frame() == b"x"
    with pytest.raises(DecodeError):
        reader.next_frame()
